// Command judge gives CRI-O's verdict on images: it calls the library that CRI-O verifies with.
//
// It reads one JSON question a line from standard input and answers each with one JSON line, in
// the order of the questions, until the input ends. A question has a policy.json and, unless it
// only asks whether that file parses, an image and the registries.d folder to look it up by.
//
// Questions that wait in the input are judged side by side.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"runtime"
)

type question struct {
	// Policy is the path of a policy.json; PolicyBytes has its content instead.
	Policy         string `json:"policy"`
	PolicyBytes    []byte `json:"policyBytes"`
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

// longest is the most bytes of one question: a policy.json of 16 MiB in base64, and its frame.
const longest = 24 << 20

func main() {
	proxy := flag.String("proxy", "", "URL of an HTTP proxy that has every registry; default: go to the registries")
	flag.Parse()
	if err := run(*proxy); err != nil {
		fmt.Fprintln(os.Stderr, "judge:", err)
		os.Exit(1)
	}
}

func run(proxy string) error {
	var j judge
	if proxy != "" {
		parsed, err := url.Parse(proxy)
		if err != nil {
			return err
		}
		j.proxy = parsed
	}
	return serve(os.Stdin, os.Stdout, j.answer)
}

// serve has some questions under way at once; their answers stand in line for the output.
func serve(in io.Reader, out io.Writer, judge func(question) answer) error {
	// One that waits for a registry leaves its processor to another.
	workers := 2 * runtime.GOMAXPROCS(0)
	line := make(chan chan answer, workers)
	written := make(chan error, 1)
	go func() { written <- write(line, out) }()

	readErr := read(in, func(q question) {
		answered := make(chan answer, 1)
		line <- answered
		go func() { answered <- judge(q) }()
	})
	close(line)
	if err := <-written; err != nil {
		return err
	}
	return readErr
}

func read(in io.Reader, each func(question)) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, longest)
	for lines.Scan() {
		var q question
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			return err
		}
		each(q)
	}
	return lines.Err()
}

// write ends when there are no more answers. After a failure it takes the rest and throws it away,
// so that nobody waits for it.
func write(line <-chan chan answer, out io.Writer) error {
	buffer := bufio.NewWriter(out)
	encoder := json.NewEncoder(buffer)
	var failed error
	for answered := range line {
		if a := <-answered; failed == nil {
			failed = encoder.Encode(a)
		}
		// Who asked one question waits for its answer.
		if failed == nil && len(line) == 0 {
			failed = buffer.Flush()
		}
	}
	return failed
}
