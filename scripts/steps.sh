# The steps of scripts/test: each is run whatever became of those before it, and all are summed up. Sourced, never run.

# Those of the last time give way.
logs=${CARGO_TARGET_DIR:-$root/target}/test-logs
rm -rf "$logs"
mkdir -p "$logs"
# What tests leave out, they write here.
export TRAINCHECK_TEST_LEFT_OUT=$logs/left-out
summary=() complaints=() passed=0 failed=0 skipped=0

# step NAME COMMAND...
step() {
    local name=$1 log=$logs/${#summary[@]}.log begun=$SECONDS result=ok counts
    shift
    say "$name"
    # Not as a condition: that would switch `set -e` off in the command.
    set +e
    (set -e; "$@") 2>&1 | tee "$log"
    [ "${PIPESTATUS[0]}" -eq 0 ] || result=FAILED
    set -e
    [ "$result" = ok ] || mapfile -t -O ${#complaints[@]} complaints < <(complained "$log")
    read -ra counts < <(counted "$log" "$result")
    passed=$((passed + counts[0])) failed=$((failed + counts[1])) skipped=$((skipped + counts[2]))
    summary+=("$(printf '%-6s  %5d s  %s: %d passed, %d failed, %d skipped' \
        "$result" $((SECONDS - begun)) "$name" "${counts[@]}")")
}

# counted LOG RESULT: how many passed, failed and were skipped, from the closing lines of cargo nextest, cargo test and
# our own scripts. What closes with none of these is one.
counted() {
    grep -E '^ *Summary \[|^test result: |^[0-9]+ passed, ' "$1" | grep -oE '[0-9]+ [a-z]+' | awk -v result="$2" '
        $2 == "passed" { passed += $1 }
        $2 == "failed" || $2 == "timed" || $2 == "exec" { failed += $1 }
        $2 == "skipped" || $2 == "ignored" { skipped += $1 }
        END {
            if (result != "ok" && !failed) failed = 1
            if (result == "ok" && !passed && !failed) passed = 1
            print passed + 0, failed + 0, skipped + 0
        }'
}

# complained LOG: the lines that name what failed: tests as cargo nextest and cargo test name them, cases, runs, errors of
# the compiler; the end of the log where there is none. Few and short, for whoever is shown the end of a log only.
complained() {
    local named
    named=$({ grep -E '^ *(FAIL|TIMEOUT|SIG[A-Z]+) +\[|\.\.\. FAILED$|WRONG: |: (FAILED|[0-9]+ alarms?)$|^error' "$1" || true; } |
        sed -E 's/ {2,}/ /g' | sort -u | head -n 8)
    if [ -n "$named" ]; then echo "$named"; else tail -n 3 "$1"; fi | cut -c 1-240
}

# sum_up: what passed, what was left out and why; false if anything failed.
sum_up() {
    say "left out"
    sort -u "$TRAINCHECK_TEST_LEFT_OUT" | sed 's/^/  /'
    say "steps, $((SECONDS / 60)) minutes in all; what they printed is in $logs"
    printf '  %s\n' "${summary[@]}"
    [ "${#complaints[@]}" -eq 0 ] || printf '  ! %s\n' "${complaints[@]}"
    printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
    [ "$failed" -eq 0 ]
}
