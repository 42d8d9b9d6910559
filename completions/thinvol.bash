# bash completion of thinvol and the tv* commands. All of it is answered by `thinvol complete`,
# from the commands' own declarations and the catalog.

_thinvol() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
            :files) compopt -o default ;;
            :more) compopt -o nospace ;;
            *) COMPREPLY+=("$line") ;;
        esac
    done < <(thinvol complete -- "$COMP_CWORD" "${COMP_WORDS[@]}" 2>/dev/null)
    # A group's name alone is a whole word; "vg0/" goes on.
    if ((${#COMPREPLY[@]} == 1)); then
        case ${COMPREPLY[0]} in
            */ | *,* | [+-]*) ;;
            *) compopt +o nospace ;;
        esac
    fi
}

complete -F _thinvol thinvol tvchange tvcheck tvconvert tvcreate tvdelta tvdisplay tvdmtable \
    tvdump tvextend tvgcreate tvgextend tvgreduce tvgremove tvgrename tvgs tvls tvmetadatapack \
    tvmetadatasize tvmetadataunpack tvpvs tvreduce tvremove tvrename tvrepair tvresize tvrestore \
    tvrmap tvs tvscan tvsnapshot tvtrim
