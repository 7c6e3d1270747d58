package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-multierror"

	"reconciler/internal/strict"
)

// hostname is --host, or this host's name.
func hostname(flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("find out the host's name: %w", err)
	}
	return name, nil
}

// faultsOf takes the faults out of an error of desired.Load. What is no fault
// is one without a position.
func faultsOf(err error) []*strict.Fault {
	if err == nil {
		return nil
	}
	list := []error{err}
	var all *multierror.Error
	if errors.As(err, &all) {
		list = all.Errors
	}
	var out []*strict.Fault
	for _, err := range list {
		var f *strict.Fault
		if !errors.As(err, &f) {
			f = &strict.Fault{Code: "unreadable", Message: err.Error(), Parse: true}
		}
		out = append(out, f)
	}
	return out
}

// below puts the path of a tree before the names in it, as a person or an
// annotation of a CI needs them.
func below(path, file string) string {
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		path = filepath.Dir(path)
	}
	if file == "" {
		return path
	}
	return filepath.Join(path, file)
}
