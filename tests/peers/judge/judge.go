package main

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"time"

	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/image"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/types"
)

// deadline is how long a verdict may take.
const deadline = 30 * time.Second

// nowhere is a path where nothing is: the files of this machine must not decide.
const nowhere = "/nonexistent"

var errPlain = errors.New("the proxy has plain HTTP only")

type judge struct {
	// proxy is nil where the registries themselves are asked.
	proxy *url.URL
}

func (j judge) answer(q question) answer {
	policy, err := load(q)
	if err != nil {
		return answer{"invalid", err.Error()}
	}
	if q.Image == "" {
		return answer{"parsed", ""}
	}
	verifier, err := signature.NewPolicyContext(policy)
	if err != nil {
		return answer{"invalid", err.Error()}
	}
	defer func() { _ = verifier.Destroy() }()

	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	sys := j.system(q)
	ref, err := docker.ParseReference("//" + q.Image)
	if err != nil {
		return answer{"error", err.Error()}
	}
	source, err := ref.NewImageSource(ctx, sys)
	if err != nil {
		return answer{"error", err.Error()}
	}
	defer func() { _ = source.Close() }()
	instance, err := platformInstance(ctx, sys, source)
	if err != nil {
		return answer{"error", err.Error()}
	}
	allowed, err := verifier.IsRunningImageAllowed(ctx, instance)
	if allowed {
		return answer{"allowed", ""}
	}
	return answer{"refused", err.Error()}
}

func load(q question) (*signature.Policy, error) {
	if q.Policy == "" {
		return signature.NewPolicyFromBytes(q.PolicyBytes)
	}
	return signature.NewPolicyFromFile(q.Policy)
}

// system is the node of a question.
func (j judge) system(q question) *types.SystemContext {
	// The library keeps what it once read at a path, and another question may have other content
	// there.
	sysregistriesv2.InvalidateCache()
	sys := &types.SystemContext{
		RegistriesDirPath:           q.RegistriesD,
		SystemRegistriesConfPath:    orEmpty(q.RegistriesConf),
		SystemRegistriesConfDirPath: nowhere,
		DockerPerHostCertDirPath:    nowhere,
		DockerAuthConfig:            &types.DockerAuthConfig{},
		DockerInsecureSkipTLSVerify: types.OptionalBoolTrue,
		OSChoice:                    "linux",
		ArchitectureChoice:          "amd64",
	}
	if j.proxy != nil {
		sys.DockerProxy = func(request *url.URL) (*url.URL, error) {
			// The library tries HTTPS first; this saves it the way.
			if request.Scheme != "http" {
				return nil, errPlain
			}
			return j.proxy, nil
		}
	}
	return sys
}

// orEmpty is an empty file where there is none: a path that is given to the library must exist.
func orEmpty(path string) string {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return os.DevNull
	}
	return path
}

// platformInstance is what CRI-O judges: of an index, the manifest of the node's platform.
func platformInstance(ctx context.Context, sys *types.SystemContext, source types.ImageSource) (*image.UnparsedImage, error) {
	bytes, mime, err := source.GetManifest(ctx, nil)
	if err != nil {
		return nil, err
	}
	if !manifest.MIMETypeIsMultiImage(mime) {
		return image.UnparsedInstance(source, nil), nil
	}
	list, err := manifest.ListFromBlob(bytes, mime)
	if err != nil {
		return nil, err
	}
	digest, err := list.ChooseInstance(sys)
	if err != nil {
		return nil, err
	}
	return image.UnparsedInstance(source, &digest), nil
}
