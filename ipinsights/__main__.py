"""``python -m ipinsights``: the same as the ``ipinsights`` command."""

from ipinsights.cli import main

if __name__ == "__main__":
    main()
