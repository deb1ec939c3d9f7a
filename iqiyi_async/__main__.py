"""`python -m iqiyi_async` is the command `iqiyi-async`."""

from .cli import main

if __name__ == "__main__":
    main()
