"""``python -m engine.cli``: the command line without the installed script."""

from engine.cli.app import main

if __name__ == "__main__":
    main()
