// Etcd starts Debian's etcd 3.4 with what kubeadm asks of a newer one: two options that 3.4 does not know are left out.
// Neither changes what is stored: one turns on start-up features of 3.6, the other how often idle watches are notified.
package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

const realProgram = "/usr/bin/etcd"

func main() {
	arguments := []string{realProgram}
	for _, argument := range os.Args[1:] {
		if strings.HasPrefix(argument, "--feature-gates=") || strings.HasPrefix(argument, "--watch-progress-notify-interval=") {
			continue
		}
		arguments = append(arguments, argument)
	}
	err := syscall.Exec(realProgram, arguments, os.Environ())
	fmt.Fprintf(os.Stderr, "%s cannot be started: %v\n", realProgram, err)
	os.Exit(1)
}
