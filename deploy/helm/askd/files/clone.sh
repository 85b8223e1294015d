#!/bin/sh
# Clones one repository into a workspace, before the server starts and as its user. Made for an init container:
#
#   CLONE_NAME      the workspace, a folder of CLONE_INTO
#   CLONE_URL       https://… or ssh://…, without a password in it
#   CLONE_REF       a branch, a tag or a whole commit id; what it is must be there
#   CLONE_DEPTH     commits, 0 for all
#   CLONE_EXISTING  what becomes of a workspace that is there: keep, replace
#   CLONE_SECONDS   how long the transfer may take
#   CLONE_SECRET    folder with username and password, or with ssh-privatekey and known_hosts; may be unset
#
# Git is never run in a workspace that was there before: an agent may have written its configuration, and would have the
# credentials. A clone is made aside and moved in when it is whole.
set -eu
umask 077

fail() {
    echo "clone: $CLONE_NAME: $*" >&2
    exit 1
}

command -v git >/dev/null || fail "the image has no git; set repositoriesInit.image to one that has"
target=$CLONE_INTO/$CLONE_NAME
new=$CLONE_INTO/.$CLONE_NAME.cloning
old=$CLONE_INTO/.$CLONE_NAME.replaced

# What an agent made may have folders that even their owner cannot enter, and be a link: chmod would follow it.
remove() {
    if [ -L "$1" ]; then
        rm -f -- "$1"
        return
    fi
    [ -e "$1" ] || return 0
    chmod -R u+rwX -- "$1" 2>/dev/null || true
    rm -rf -- "$1"
}

# What an interrupted start left.
remove "$new"
if [ -e "$old" ] && [ ! -e "$target" ]; then
    mv -- "$old" "$target"
fi
remove "$old"

if [ -e "$target" ] || [ -L "$target" ]; then
    case $CLONE_EXISTING in
        keep)
            echo "clone: $CLONE_NAME is there already and is kept"
            exit 0
            ;;
        replace) ;;
        *) fail "CLONE_EXISTING is '$CLONE_EXISTING'; it must be keep or replace" ;;
    esac
fi

# Only these transports, no questions, and no configuration but what is said here.
export GIT_ALLOW_PROTOCOL="${CLONE_PROTOCOLS:-https:ssh}" GIT_TERMINAL_PROMPT=0
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
if [ -n "${CLONE_SECRET-}" ]; then
    if [ -f "$CLONE_SECRET/ssh-privatekey" ]; then
        command -v ssh >/dev/null || fail "the image has no ssh; use https, or set repositoriesInit.image to one that has"
        [ -f "$CLONE_SECRET/known_hosts" ] || fail "the secret has no known_hosts: without it nobody knows whose host answers"
        # ssh wants the key to be its user's alone.
        trap 'rm -f "$HOME/clone-key"' EXIT
        cat -- "$CLONE_SECRET/ssh-privatekey" >"$HOME/clone-key"
        export GIT_SSH_COMMAND="ssh -F none -i $HOME/clone-key -o IdentitiesOnly=yes -o BatchMode=yes \
-o StrictHostKeyChecking=yes -o UserKnownHostsFile=$CLONE_SECRET/known_hosts"
    elif [ -f "$CLONE_SECRET/password" ]; then
        # Git asks this program; nothing of it is written into the clone.
        cat >"$HOME/askpass" <<'ASK'
#!/bin/sh
case $1 in
    Username*) if [ -f "$CLONE_SECRET/username" ]; then cat "$CLONE_SECRET/username"; else echo git; fi ;;
    *) cat "$CLONE_SECRET/password" ;;
esac
ASK
        chmod 0700 "$HOME/askpass"
        export GIT_ASKPASS="$HOME/askpass" CLONE_SECRET
    else
        fail "the secret has neither ssh-privatekey nor password"
    fi
fi

set -- --no-tags --no-recurse-submodules
[ "$CLONE_DEPTH" = 0 ] || set -- "$@" "--depth=$CLONE_DEPTH"
git init --quiet --initial-branch=askd "$new"
git -C "$new" remote add origin "$CLONE_URL"
timeout -k 5 "$CLONE_SECONDS" git -C "$new" -c http.lowSpeedLimit=1000 -c http.lowSpeedTime=60 \
    fetch --quiet "$@" origin "$CLONE_REF" || case $? in
    # timeout's own, what it killed, and the timeout of BusyBox.
    124 | 137 | 143) fail "$CLONE_REF could not be fetched within $CLONE_SECONDS s" ;;
    *) fail "$CLONE_REF could not be fetched; git's words are above" ;;
esac
git -C "$new" -c core.hooksPath=/dev/null -c advice.detachedHead=false checkout --quiet --detach FETCH_HEAD
commit=$(git -C "$new" rev-parse HEAD)
case $CLONE_REF in
    *[!0-9a-f]*) ;;
    ????????????????????????????????????????*)
        [ "$commit" = "$CLONE_REF" ] || fail "the server gave $commit for $CLONE_REF"
        ;;
esac

if [ -e "$target" ] || [ -L "$target" ]; then
    mv -- "$target" "$old"
fi
mv -- "$new" "$target"
remove "$old"
echo "clone: $CLONE_NAME is at $commit ($CLONE_REF)"
