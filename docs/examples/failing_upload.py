"""What an error says, and what to do about it.

python failing_upload.py holiday.mp4
"""

import asyncio
import sys

from iqiyi_async import (
    AsyncVideoCloud,
    AuthorizationError,
    ConfigurationError,
    DuplicateVideoError,
    Metadata,
    SqliteJournal,
    UploadError,
    VideoCloudError,
)


async def main(path: str) -> str:
    async with AsyncVideoCloud.from_env(journal=SqliteJournal()) as cloud:
        try:
            receipt = await cloud.upload(path, Metadata("Holiday"))
        except ConfigurationError as error:
            return f"correct the call: {error}"
        except AuthorizationError as error:
            return f"check key and secret, and the state of the application: {error}"
        except DuplicateVideoError as error:
            return f"these bytes are video {error.file_id} already"
        except UploadError as error:
            advice = "run this again, and it goes on" if error.resumable else "it would start over"
            return f"{error.accepted:,} bytes are at the service; {advice}: {error} ({error.__cause__})"
        except VideoCloudError as error:
            return f"{'try again later' if error.retryable else 'it would fail again'}: {error}"
        return f"uploaded as {receipt.file_id}"


if __name__ == "__main__":
    print(asyncio.run(main(sys.argv[1])))
