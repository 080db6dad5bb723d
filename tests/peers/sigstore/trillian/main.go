// Command trillian runs Trillian's log server and its sequencer in one process, with Trillian's own
// storage in memory: its published commands want a database each. With -ct-address it also serves
// a certificate transparency log, by the handlers of certificate-transparency-go.
package main

import (
	"context"
	"encoding/pem"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/google/certificate-transparency-go/trillian/ctfe"
	"github.com/google/certificate-transparency-go/trillian/ctfe/cache"
	"github.com/google/certificate-transparency-go/trillian/ctfe/configpb"
	"github.com/google/trillian"
	"github.com/google/trillian/client"
	"github.com/google/trillian/crypto/keys"
	"github.com/google/trillian/crypto/keys/der"
	"github.com/google/trillian/crypto/keyspb"
	"github.com/google/trillian/extension"
	trillianlog "github.com/google/trillian/log"
	"github.com/google/trillian/monitoring"
	"github.com/google/trillian/quota"
	"github.com/google/trillian/server"
	"github.com/google/trillian/server/admin"
	"github.com/google/trillian/server/interceptor"
	"github.com/google/trillian/storage"
	_ "github.com/google/trillian/storage/memory"
	"github.com/google/trillian/util/clock"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

func main() {
	address := flag.String("address", "127.0.0.1:8090", "address of Trillian's gRPC services")
	ctAddress := flag.String("ct-address", "", "address of the CT log; without it there is none")
	ctKey := flag.String("ct-key", "", "file with the private key of the CT log: PKCS #8 in PEM")
	ctRoots := flag.String("ct-roots", "", "file with the CA certificates that the CT log takes chains to, PEM")
	flag.Parse()

	ctx := context.Background()
	provider, err := storage.NewProvider("memory", monitoring.InertMetricFactory{})
	check(err)
	registry := extension.Registry{
		AdminStorage:  provider.AdminStorage(),
		LogStorage:    provider.LogStorage(),
		QuotaManager:  quota.Noop(),
		MetricFactory: monitoring.InertMetricFactory{},
	}
	services := grpc.NewServer(grpc.UnaryInterceptor(interceptor.ErrorWrapper))
	trillian.RegisterTrillianAdminServer(services, admin.New(registry, nil))
	trillian.RegisterTrillianLogServer(services, server.NewTrillianLogRPCServer(registry, clock.System))
	sequencer := trillianlog.NewOperationManager(trillianlog.OperationInfo{
		Registry:    registry,
		BatchSize:   50,
		NumWorkers:  1,
		RunInterval: 20 * time.Millisecond,
		TimeSource:  clock.System,
	}, trillianlog.NewSequencerManager(registry, 0))
	go sequencer.OperationLoop(ctx)

	listener, err := net.Listen("tcp", *address)
	check(err)
	if *ctAddress != "" {
		go serveCT(ctx, *address, *ctAddress, *ctRoots, *ctKey)
	}
	log.Fatal(services.Serve(listener))
}

// serveCT makes a tree in the Trillian at backend and serves it as the CT log "ct".
func serveCT(ctx context.Context, backend, address, roots, keyFile string) {
	keys.RegisterHandler(&keyspb.PrivateKey{}, der.FromProto)
	connection, err := grpc.NewClient(backend, grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(err)
	logs := trillian.NewTrillianLogClient(connection)
	tree, err := client.CreateAndInitTree(ctx, &trillian.CreateTreeRequest{Tree: &trillian.Tree{
		TreeState:       trillian.TreeState_ACTIVE,
		TreeType:        trillian.TreeType_LOG,
		MaxRootDuration: durationpb.New(time.Hour),
	}}, trillian.NewTrillianAdminClient(connection), logs)
	check(err)

	text, err := os.ReadFile(keyFile)
	check(err)
	key, _ := pem.Decode(text)
	if key == nil {
		log.Fatalf("%s holds no PEM", keyFile)
	}
	private, err := anypb.New(&keyspb.PrivateKey{Der: key.Bytes})
	check(err)
	config, err := ctfe.ValidateLogConfig(&configpb.LogConfig{
		LogId:            tree.TreeId,
		Prefix:           "ct",
		RootsPemFile:     []string{roots},
		PrivateKey:       private,
		ExtKeyUsages:     []string{"CodeSigning"},
		MaxMergeDelaySec: 60,
	})
	check(err)
	instance, err := ctfe.SetUpInstance(ctx, ctfe.InstanceOptions{
		Validated:     config,
		Client:        logs,
		Deadline:      10 * time.Second,
		MetricFactory: monitoring.InertMetricFactory{},
		RequestLog:    new(ctfe.DefaultRequestLog),
		CacheType:     cache.NOOP,
	})
	check(err)
	handlers := http.NewServeMux()
	for path, handler := range instance.Handlers {
		handlers.Handle(path, handler)
	}
	log.Fatal((&http.Server{Addr: address, Handler: handlers, ReadHeaderTimeout: 5 * time.Second}).ListenAndServe())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
