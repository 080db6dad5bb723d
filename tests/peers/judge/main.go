// Command judge gives CRI-O's verdict on images: it calls the library that CRI-O verifies with.
//
// It reads one JSON question a line from standard input and answers each with one JSON line, until
// the input ends. A question names a policy.json and, unless it only asks whether that file parses,
// an image and the registries.d folder to look it up by.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/image"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/types"
)

type question struct {
	Policy         string `json:"policy"`
	RegistriesD    string `json:"registriesD"`
	RegistriesConf string `json:"registriesConf"`
	// Image is empty when only the policy file is to be parsed.
	Image string `json:"image"`
}

type answer struct {
	// Verdict is "allowed", "refused", "parsed" or "invalid"; "error" when there is no verdict.
	Verdict string `json:"verdict"`
	Detail  string `json:"detail,omitempty"`
}

func main() {
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "judge:", err)
		os.Exit(1)
	}
}

func serve(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	encoder := json.NewEncoder(out)
	for lines.Scan() {
		var q question
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			return err
		}
		if err := encoder.Encode(judge(q)); err != nil {
			return err
		}
	}
	return lines.Err()
}

func judge(q question) answer {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	policy, err := signature.NewPolicyFromFile(q.Policy)
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

	sys := &types.SystemContext{
		RegistriesDirPath:           q.RegistriesD,
		SystemRegistriesConfPath:    q.RegistriesConf,
		SystemRegistriesConfDirPath: "/nonexistent",
		DockerInsecureSkipTLSVerify: types.OptionalBoolTrue,
		OSChoice:                    "linux",
		ArchitectureChoice:          "amd64",
	}
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
