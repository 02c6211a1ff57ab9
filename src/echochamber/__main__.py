"""`python -m echochamber`, which torchrun needs: the same as the command `echochamber`."""

from echochamber.cli.main import main

if __name__ == "__main__":
    main()
