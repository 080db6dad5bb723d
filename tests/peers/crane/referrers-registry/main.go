// Command referrers-registry serves the registry of go-containerregistry with the referrers API,
// which `crane registry serve` leaves out. Blobs lie on disk, manifests in memory.
package main

import (
	"flag"
	"log"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	address := flag.String("address", "127.0.0.1:0", "address to listen on")
	disk := flag.String("disk", "", "folder for blobs")
	flag.Parse()

	server := &http.Server{
		Addr:              *address,
		ReadHeaderTimeout: 5 * time.Second,
		Handler: registry.New(
			registry.WithReferrersSupport(true),
			registry.WithBlobHandler(registry.NewDiskBlobHandler(*disk)),
		),
	}
	log.Fatal(server.ListenAndServe())
}
