module headworks.invalid/hack/tools/local

go 1.24
