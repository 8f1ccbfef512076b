#!/bin/sh
# Part of the build script (build.sh says how it is put together): reads the command of .buildboard.toml. It owns
# what of TOML is understood. However the file is made, the time it takes grows no faster than its length.

# read_toml: the command of .buildboard.toml; false when it names none. Read are the keys above the first
# [table]; `command` is a string in any of TOML's four forms, without \u and \U.
read_toml() {
    LC_ALL=C awk '
        { sub(/\r$/, ""); line[NR] = $0 }
        function stop(why) { print why; exit 4 }
        # `rest` is a piece of line `at`, whose next one begins at `from`: a step over a long line stays short.
        function fill() {
            for (; length(rest) < 8 && from <= size; from += 512) rest = rest substr(line[at], from, 512)
        }
        function go(number, column) {
            at = number; from = column; size = length(line[number]); rest = ""
            fill()
        }
        function drop(count) { rest = substr(rest, count + 1); fill() }
        function skip_blanks() { while (match(rest, /^[ \t]+/)) drop(RLENGTH) }
        function next_line() {
            if (at == NR) stop("has no closing quote")
            go(at + 1, 1)
        }
        function add(text) {
            piece[++pieces] = text
            if (text ~ /[^ \t\n]/) solid = 1
        }
        # scan: the string that rest begins with goes to the pieces; rest is then what its line ends in.
        function scan(    quote, three, many, plain, sign, extra) {
            quote = substr(rest, 1, 1)
            if (quote != "\"" && quote != "\047") stop("is not a string")
            three = quote quote quote
            many = substr(rest, 1, 3) == three
            plain = quote == "\"" ? "^[^\"\\\\]+" : "^[^\047]+"
            drop(many ? 3 : 1)
            pieces = solid = 0
            if (many && rest == "") next_line()
            for (;;) {
                sign = substr(rest, 1, 1)
                if (sign == "") {
                    if (!many) stop("has no closing quote")
                    next_line()
                    add("\n")
                } else if (match(rest, plain)) {
                    add(substr(rest, 1, RLENGTH))
                    drop(RLENGTH)
                } else if (sign == quote && !many) {
                    drop(1)
                    return
                } else if (sign == quote && substr(rest, 1, 3) == three) {
                    for (drop(3); extra < 2 && substr(rest, 1, 1) == quote; drop(1)) { add(quote); extra++ }
                    return
                } else if (sign == quote) {
                    add(quote)
                    drop(1)
                } else {
                    sign = substr(rest, 2, 1)
                    drop(1)
                    if (sign in escape) { add(escape[sign]); drop(1); continue }
                    skip_blanks()
                    if (!many || rest != "") stop("has an escape that is not read here: \\" sign)
                    for (; rest == ""; skip_blanks()) next_line()
                }
            }
        }
        END {
            escape["b"] = "\b"; escape["t"] = "\t"; escape["n"] = "\n"; escape["f"] = "\f"; escape["r"] = "\r"
            escape["\""] = "\""; escape["\\"] = "\\"
            for (start = 1; start <= NR && line[start] !~ /^[ \t]*\[/; start = at + 1) {
                at = start
                if (!(equals = index(line[start], "=")) || line[start] ~ /^[ \t]*#/) continue
                key = substr(line[start], 1, equals - 1)
                wanted = key ~ /^[ \t]*(command|"command"|\047command\047)[ \t]*$/
                go(start, equals + 1)
                skip_blanks()
                if (!wanted && rest !~ /^("""|\047\047\047)/) continue
                scan() # of another key too, since a long string may hold anything
                if (!wanted) continue
                skip_blanks()
                if (rest !~ /^(#|$)/) stop("has something behind its closing quote")
                if (!solid) stop("is empty")
                for (number = 1; number <= pieces; number++) printf "%s", piece[number]
                print ""
                exit 0
            }
            exit 3
        }' src/.buildboard.toml >run/command
    case $? in
    0) bb_found="the command in .buildboard.toml" ;;
    3) note "no command in .buildboard.toml" && return 1 ;;
    *) fail 66 "The command in .buildboard.toml $(cat run/command)." ;;
    esac
}
