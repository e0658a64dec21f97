# Steps of the four scripts, which source this file. What a step prints is kept and checked.
set -euo pipefail
printed=$(mktemp)
trap 'rm -f "$printed"' EXIT

# End the script and show what the last step printed.
fail() {
    echo "FAILED: $1" >&2
    cat "$printed" >&2
    exit 1
}

# step CODE COMMAND...: run a command and check its exit code.
step() {
    local expected=$1 code=0
    shift
    "$@" > "$printed" 2>&1 < /dev/null || code=$?
    [[ $code == "$expected" ]] || fail "exit code $code instead of $expected: $*"
}

# on_terminal CODE WIDTH COMMAND: run a command of a shell on a terminal of this width.
on_terminal() {
    local expected=$1 width=$2 code=0
    script --quiet --return --command "stty cols $width; $3" /dev/null > "$printed.raw" < /dev/null || code=$?
    # What is left of lines that are drawn again, without colours.
    sed -e 's/\x1b\[[0-9;?]*[A-Za-z]//g' -e 's/\r$//' -e 's/.*\r//' "$printed.raw" > "$printed"
    rm "$printed.raw"
    [[ $code == "$expected" ]] || fail "exit code $code instead of $expected: $3"
}

# says REGEX...: check that the last step printed a line with each.
says() {
    local pattern
    for pattern in "$@"; do
        grep --quiet --extended-regexp -- "$pattern" "$printed" || fail "this is not said: $pattern"
    done
}

# says_nothing_of REGEX: check that the last step printed no such line.
says_nothing_of() {
    ! grep --quiet --extended-regexp -- "$1" "$printed" || fail "this is said: $1"
}

# Print the command that the last step names as the next one.
next_command() {
    sed -n 's/^Next: //p' "$printed" | tail -1
}

# wait_for FILE REGEX: wait until a file has a line, for three minutes at most.
wait_for() {
    local count
    for ((count = 0; count < 1800; count++)); do
        grep --quiet --extended-regexp -- "$2" "$1" 2> /dev/null && return
        sleep 0.1
    done
    cp "$1" "$printed"
    fail "$1 does not say: $2"
}
