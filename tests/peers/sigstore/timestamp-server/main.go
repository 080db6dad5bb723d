// Command timestamp-server is sigstore's timestamp authority with a key and a chain of its own in
// memory. Its published command insists on a fixed port for its metrics, so two could not run side
// by side.
package main

import (
	"flag"
	"log"
	"net"
	"strconv"
	"time"

	"github.com/sigstore/timestamp-authority/v2/pkg/server"
	"github.com/spf13/viper"
)

func main() {
	address := flag.String("address", "127.0.0.1:0", "address to listen on")
	flag.Parse()

	// What the published command has as the defaults of its flags.
	viper.Set("timestamp-signer", "memory")
	viper.Set("timestamp-signer-hash", "sha256")
	viper.Set("default-policy-oid", "1.3.6.1.4.1.57264.2")
	viper.Set("accepted-policy-oids", []string{"1.3.6.1.4.1.57264.2"})
	viper.Set("max-request-body-size", 1<<20)

	host, text, err := net.SplitHostPort(*address)
	check(err)
	port, err := strconv.Atoi(text)
	check(err)
	api := server.NewRestAPIServer(host, port, []string{"http"}, false, 30*time.Second, 30*time.Second)
	check(api.Serve())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
