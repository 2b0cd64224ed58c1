#!/usr/bin/env bash
# Builds the control-plane programs of the real test tier into <repo>/target/kubernetes/:
# one binary, and its five names as hard links. Needs Go and nothing else; Cargo never calls it.
# Up to date means: the binary is newer than every file of this folder, and all names are there.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$(cd "$here/../.." && pwd)/target/kubernetes
binary=$out/kubernetes
names=(etcd kube-apiserver kube-controller-manager kube-scheduler kubectl)

up_to_date() {
  local file name
  [[ -x $binary ]] || return 1
  for file in "$here"/{main.go,go.mod,go.sum,build.sh}; do
    [[ $binary -nt $file ]] || return 1
  done
  for name in "${names[@]}"; do
    [[ $out/$name -ef $binary ]] || return 1
  done
}

if up_to_date; then
  echo "kubernetes: up to date in $out"
  exit 0
fi
command -v go >/dev/null || { echo "kubernetes: Go is needed to build the real control planes (https://go.dev/dl)" >&2; exit 1; }

version=$(cd "$here" && go list -mod=readonly -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${version#v1.}
minor=${minor%%.*}
flags=(-s -w)
# Clients read the server's version and refuse one that does not parse; a plain `go build` leaves it empty.
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  flags+=(
    -X "$package.gitVersion=$version" -X "$package.gitMajor=1" -X "$package.gitMinor=$minor+"
    -X "$package.gitTreeState=clean" -X "$package.gitCommit=module-$version"
    -X "$package.buildDate=1970-01-01T00:00:00Z"
  )
done

echo "kubernetes: building $version with $(go env GOVERSION) (about 6 minutes the first time)"
mkdir -p "$out"
SECONDS=0
# Written beside its place and then moved: control planes that run now keep their program.
(cd "$here" && CGO_ENABLED=0 go build -mod=readonly -trimpath -buildvcs=false -ldflags "${flags[*]}" -o "$binary.new" .)
mv -f "$binary.new" "$binary"
for name in "${names[@]}"; do
  ln -f "$binary" "$out/$name"
done
echo "kubernetes: built in ${SECONDS} s: $out ($(du -h "$binary" | cut -f1)): ${names[*]}"
