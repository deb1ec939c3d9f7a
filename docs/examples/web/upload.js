// Uploads by uppy, and what becomes of them by server-sent events.
import { Dashboard, Tus, Uppy } from "/node_modules/uppy/dist/uppy.min.mjs";

const ENDPOINT = "/uploads/";
const watched = new Map();

const uppy = new Uppy({ restrictions: { allowedFileTypes: ["video/*", ".mp4", ".mkv", ".flv", ".ts", ".rmvb"] } });
uppy.use(Dashboard, { target: "#uppy", inline: true, width: "100%", height: 320 });
uppy.use(Tus, {
  endpoint: ENDPOINT,
  // After each failure the client asks where it was and goes on: through a restart of the server, or a tunnel.
  retryDelays: [0, 500, 1000, 2000, 3000, 5000, 5000, 10000, 10000, 20000, 20000, 30000],
  // The same file chosen again after a reload goes on. Once it is a video, it is another upload.
  removeFingerprintOnSuccess: true,
  onAfterResponse(request, response) {
    const url = response.getHeader("Location") ?? request.getURL();
    const name = url.split("/").pop();
    if (/^[0-9a-f]{32}$/.test(name) && response.getStatus() < 400) watch(name);
  },
});

function watch(name) {
  if (watched.has(name)) return;
  const item = document.createElement("li");
  document.querySelector("#videos").append(item);
  const source = new EventSource(`${ENDPOINT}${name}/events`);
  watched.set(name, source);
  source.onmessage = (message) => {
    const now = JSON.parse(message.data);
    show(item, now);
    if (!["receiving", "publishing"].includes(now.state)) source.close();
  };
}

function show(item, now) {
  const share = (bytes) => `${Math.floor((100 * bytes) / (now.size || 1))} %`;
  const texts = {
    receiving: `${share(now.received)} received, ${share(now.accepted)} at the service`,
    publishing: "uploaded; the service is working on it",
    published: `published: ${now.file_id} `,
  };
  item.dataset.state = now.state;
  item.classList.toggle("problem", now.problem !== "");
  item.textContent = texts[now.state] ?? `${now.state} ${now.problem}`;
  if (now.state === "published") {
    const button = document.createElement("button");
    button.textContent = "Play";
    button.onclick = () => play(item, now.file_id);
    item.append(button);
  }
}

async function play(item, fileId) {
  const urls = await (await fetch(`/videos/${fileId}`)).json();
  // The second exchange: made by the browser, because the real URL may be bound to the address that asked for it.
  const answer = await (await fetch(Object.values(urls)[0])).text();
  const { data } = JSON.parse(answer.slice(answer.indexOf("{"), answer.lastIndexOf("}") + 1));
  const player = document.createElement("video");
  player.controls = true;
  player.src = data.l;
  item.append(player);
}
