from minigrad.cli import main

main()
