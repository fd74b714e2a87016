// A registry that serves the referrers API, which Debian's docker-registry has not. In memory; prints its port, and a
// line for each request.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", listener.Addr())
	requests := log.New(os.Stdout, "", 0)
	handler := registry.New(registry.WithReferrersSupport(true), registry.Logger(requests))
	log.Fatal(http.Serve(listener, handler))
}
