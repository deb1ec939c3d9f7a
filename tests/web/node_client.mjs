// tus-js-client from Node: uploads a file, and goes on by itself whatever happens to the server.
// node node_client.mjs NODE_MODULES ENDPOINT FILE
import { createReadStream, statSync } from "node:fs";
import { createRequire } from "node:module";

const [modules, endpoint, path] = process.argv.slice(2);
const tus = createRequire(`${modules}/`)("tus-js-client");

const upload = new tus.Upload(createReadStream(path), {
  endpoint,
  uploadSize: statSync(path).size,
  metadata: { filename: "film.mp4", filetype: "video/mp4" },
  retryDelays: Array(60).fill(200),
  chunkSize: 400000,
  onError(error) {
    console.error(String(error));
    process.exit(1);
  },
  onSuccess() {
    console.log(upload.url);
  },
});
upload.start();
