#!/bin/sh
# Part of the build script (build.sh says how it is put together): finds out how the tree in ws/src is built.
# It owns the order of the search and the default command of each kind of tree. It runs nothing of the tree.
#
# Each command is run by `sh -e` in ws/src, with $BUILD_JOBS set and extra_make_args as "$@".

# found WORDS: how the build was found; its command is on stdin.
found() {
    bb_found=$1
    cat >run/command || fail 69 "The command could not be written on this server."
}
# unpack NAME FILE: the text that comes as NAME_1, NAME_2, ... goes to run/FILE, and out of the environment.
unpack() {
    eval "bb_count=\$$1_COUNT"
    bb_number=0
    while [ "$bb_number" -lt "$bb_count" ]; do
        bb_number=$((bb_number + 1))
        eval "printf '%s' \"\$$1_$bb_number\"" || return
        unset -v "$1_$bb_number"
    done >"run/$2" || return
    if [ "$bb_count" != 0 ]; then echo >>"run/$2"; fi
}
# has NAME...: whether all of these are files of the tree's top folder.
has() {
    for bb_name in "$@"; do [ -f "src/$bb_name" ] || return 1; done
}

# find_build: run/command, which is the job's own already if it has one.
find_build() {
    bb_found=
    if [ -s run/command ]; then
        bb_found="the job's build_command"
    elif has .buildboard.toml && read_toml; then
        :
    elif [ -s run/recipe ]; then
        found "the recipe's command" <run/recipe
    elif has .buildboard/build && [ -x src/.buildboard/build ]; then
        found "the executable .buildboard/build" <<'END'
exec ./.buildboard/build "$@"
END
    elif ! find_kind; then
        bb_hint=
        if has .buildboard/build; then bb_hint=" (it is there, but not executable)"; fi
        fail 66 "No way to build this repository was found. Looked for: build_command of the job;" \
            "a command in .buildboard.toml; a recipe; an executable .buildboard/build$bb_hint;" \
            "Kbuild, Kconfig and Makefile (Linux kernel); CMakeLists.txt (CMake); meson.build (Meson);" \
            "configure or configure.ac (Autotools); Makefile (Make); Cargo.toml (Cargo); go.mod (Go);" \
            "package.json (npm); pyproject.toml or setup.py (Python)."
    fi
}

# find_kind: the kind of tree, in the order of the documentation.
find_kind() {
    if has Kbuild Kconfig Makefile; then
        find_kernel
    elif has CMakeLists.txt; then
        found "a CMake project (CMakeLists.txt)" <<'END'
cmake -S . -B build -DCMAKE_BUILD_TYPE=Release
cmake --build build --parallel "$BUILD_JOBS"
END
    elif has meson.build; then
        found "a Meson project (meson.build)" <<'END'
meson setup build
meson compile -C build -j "$BUILD_JOBS"
END
    elif has configure || has configure.ac || has configure.in; then
        if has configure; then
            # Git keeps no times, and make would make generated files again that look older than their sources,
            # with tools that a source package does not ask for: give all files one time.
            found "an Autotools project (configure)" <<'END'
find . -path ./.git -prune -o -type f -exec touch -r configure {} +
if [ -x configure ]; then ./configure; else sh ./configure; fi
make -j"$BUILD_JOBS" "$@"
END
        else
            found "an Autotools project (configure.ac)" <<'END'
autoreconf --force --install
./configure
make -j"$BUILD_JOBS" "$@"
END
        fi
    elif has GNUmakefile || has makefile || has Makefile; then
        found "a Makefile" <<'END'
make -j"$BUILD_JOBS" "$@"
END
    elif has Cargo.toml Cargo.lock; then
        found "a Cargo package (Cargo.toml and Cargo.lock)" <<'END'
cargo build --release --locked --jobs "$BUILD_JOBS"
END
    elif has Cargo.toml; then
        found "a Cargo package (Cargo.toml)" <<'END'
cargo build --release --jobs "$BUILD_JOBS"
END
    elif has go.mod; then
        found "a Go module (go.mod)" <<'END'
go build -p "$BUILD_JOBS" ./...
if go list -f '{{.Name}}' ./... | grep -qx main; then mkdir -p bin && go build -o bin/ ./...; fi
END
    elif has package.json package-lock.json || has package.json npm-shrinkwrap.json; then
        found "an npm package (package.json and its lock file)" <<'END'
npm ci --no-audit --no-fund
npm run build --if-present
END
    elif has package.json; then
        found "an npm package (package.json)" <<'END'
npm install --no-audit --no-fund
npm run build --if-present
END
    elif has pyproject.toml || has setup.py; then
        found "a Python project (pyproject.toml or setup.py)" <<'END'
python3 -m pip wheel --no-deps --wheel-dir dist .
END
    else
        return 1
    fi
}

# ---- Linux kernel

# given LIST NAME: bb_value, what the words NAME=value of BB_ENV or BB_MAKE_ARGS set it to; false when none does.
given() {
    bb_value='' bb_status=1 bb_number=0 bb_word=''
    eval "bb_count=\$$1_COUNT"
    while [ "$bb_number" -lt "$bb_count" ]; do
        bb_number=$((bb_number + 1))
        eval "bb_word=\$$1_$bb_number"
        case $bb_word in "$2="*) bb_value=${bb_word#*=} bb_status=0 ;; esac
    done
    return "$bb_status"
}
# quote WORD: as the shell reads it.
quote() {
    case $1 in
    '' | *[!A-Za-z0-9_./=:,+@%-]*) printf "'%s'" "$(printf '%s' "$1" | LC_ALL=C sed "s/'/'\\\\''/g")" ;;
    *) printf '%s' "$1" ;;
    esac
}
# read_make_words: bb_words, all of extra_make_args, quoted; bb_options without the targets, of which nothing can
# be made before it is configured; bb_default_target, the one to name beside others when it names none.
read_make_words() {
    bb_words='' bb_options='' bb_default_target=' all' bb_number=0 bb_word=''
    while [ "$bb_number" -lt "$BB_MAKE_ARGS_COUNT" ]; do
        bb_number=$((bb_number + 1))
        eval "bb_word=\$BB_MAKE_ARGS_$bb_number"
        bb_quoted=$(quote "$bb_word")
        bb_words="$bb_words $bb_quoted"
        case $bb_word in -* | *=*) bb_options="$bb_options $bb_quoted" ;; *) bb_default_target='' ;; esac
    done
}
# choose_kernel_config: bb_target, a file of the tree or a target of make that configures and asks nothing.
choose_kernel_config() {
    bb_target=$BB_KERNEL_CONFIG
    case $bb_target in
    *[!A-Za-z0-9_./+-]* | -* | /* | ../* | */../* | */..) ;;
    '') if has .config; then bb_target=.config; else bb_target=$BB_KERNEL_DEFAULT; fi && return ;;
    defconfig) bb_target=$BB_KERNEL_DEFAULT && return ;;
    config | menuconfig | nconfig | xconfig | gconfig)
        fail 66 "kernel_config $bb_target asks questions, and in a build nobody answers them: name a file of the" \
            "tree or a target such as defconfig."
        ;;
    *) case $bb_target in *config) return ;; esac && has "$bb_target" && return ;;
    esac
    fail 66 "kernel_config $bb_target is neither a file of the tree nor a target of make that configures."
}
# choose_kernel_tools: ARCH for what is built for another architecture than the server's, and CROSS_COMPILE where
# its compiler is another one. An x86 machine gets its ARCH too: else a configuration chooses between 32 and 64
# bits, and tinyconfig takes 32.
choose_kernel_tools() {
    bb_machine=$(uname -m)
    case " $BB_NATIVE_MACHINES " in
    *" $bb_machine "*)
        case $BB_KERNEL_ARCH in x86_64 | i386) export ARCH="$BB_KERNEL_ARCH" ;; esac
        return
        ;;
    esac
    export ARCH="$BB_KERNEL_ARCH"
    case " $BB_RELATED_MACHINES " in
    *" $bb_machine "*) ;;
    *)
        export CROSS_COMPILE="$BB_CROSS_COMPILE"
        for bb_name in CROSS_COMPILE CC LLVM; do
            if given BB_ENV "$bb_name" || given BB_MAKE_ARGS "$bb_name"; then bb_name=given && break; fi
        done
        [ "$bb_name" = given ] || command -v "${CROSS_COMPILE}gcc" >/dev/null 2>&1 ||
            fail 69 "Building Linux for $BB_ARCHITECTURE on this server, which is $bb_machine, needs" \
                "${CROSS_COMPILE}gcc, which is not installed on it; another compiler can be named by" \
                "CROSS_COMPILE=, CC= or LLVM= in extra_make_args."
        ;;
    esac
    note "cross build on $bb_machine: ARCH=$ARCH CROSS_COMPILE=${CROSS_COMPILE-}"
}
find_kernel() {
    choose_kernel_config
    choose_kernel_tools
    read_make_words
    bb_folder=
    if given BB_MAKE_ARGS O || given BB_MAKE_ARGS KBUILD_OUTPUT || given BB_ENV KBUILD_OUTPUT; then
        bb_folder=$(quote "${bb_value:-.}")/
    fi
    bb_update="make$bb_options olddefconfig"
    {
        if has "$bb_target"; then
            [ -z "$bb_folder" ] || echo "mkdir -p $bb_folder"
            [ "$bb_folder$bb_target" = .config ] || echo "cp $bb_target $bb_folder.config"
            echo "$bb_update"
        else
            # A fragment, such as kvm_guest.config, says only what differs.
            case $bb_target in *.config) has .config || echo "make$bb_options $BB_KERNEL_DEFAULT" ;; esac
            echo "make$bb_options $bb_target"
        fi
        bb_config="./scripts/config${bb_folder:+ --file $bb_folder.config}"
        case $BB_ENABLE_MODULES in
        1) printf '%s\n' "$bb_config --enable MODULES" "$bb_update" ;;
        0) printf '%s\n' "$bb_config --disable MODULES" "$bb_update" ;;
        esac
        # In one make, so that a tree without device trees says so at once.
        if [ -n "$BB_BUILD_DTBS" ]; then bb_words="$bb_words$bb_default_target dtbs"; fi
        printf '%s\n' "make -j\"\$BUILD_JOBS\"$bb_words"
    } >run/command || fail 69 "The command could not be written on this server."
    bb_found="a Linux kernel tree (Kbuild, Kconfig, Makefile), configuration $bb_target"
}
