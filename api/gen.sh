#!/usr/bin/env bash
# Generates the Go code of every .proto below api/. Needs protoc 3.21, protoc-gen-go 1.36 and protoc-gen-go-grpc.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$(go env GOPATH)/bin:$PATH"
find api -name '*.proto' -print0 | sort -z | xargs -0 protoc -I . \
  --go_out=. --go_opt=module=hongyan --go-grpc_out=. --go-grpc_opt=module=hongyan
