#!/bin/sh
# Debian's Firefox; it ends with the client that has started it, however that ends.
exec setpriv --pdeathsig KILL /usr/bin/firefox-esr "$@"
