"""The command line, run as users run it: as a program, against an emulator on a real socket."""
