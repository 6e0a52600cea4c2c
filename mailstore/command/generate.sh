#!/bin/sh
# Regenerates commandpb from command.proto with the plug-in pinned in go.mod.
set -eu
cd "$(dirname "$0")"
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
go build -o "$bin/protoc-gen-go" google.golang.org/protobuf/cmd/protoc-gen-go
protoc --plugin="$bin/protoc-gen-go" --go_out=commandpb --go_opt=paths=source_relative command.proto
