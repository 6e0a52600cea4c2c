#!/bin/sh
# Regenerates adminpb from admin.proto with the plug-ins pinned in go.mod.
set -eu
cd "$(dirname "$0")"
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
go build -o "$bin/" google.golang.org/protobuf/cmd/protoc-gen-go connectrpc.com/connect/cmd/protoc-gen-connect-go
protoc --plugin="$bin/protoc-gen-go" --plugin="$bin/protoc-gen-connect-go" \
	--go_out=adminpb --go_opt=paths=source_relative \
	--connect-go_out=adminpb --connect-go_opt=paths=source_relative admin.proto
