// Others' code beside ours: a log of another make with our witnesses, and our log's checkpoints and proofs under
// another verifier.
//
//	interop log DIR POLICY ENTRIES        runs a Tessera log whose checkpoints the witnesses of POLICY cosign, adds so
//	                                      many entries, and prints the published checkpoint once it is verified
//	interop checkpoint POLICY FILE        verifies a checkpoint of a log of POLICY and the quorum of its witnesses
//	interop proof POLICY PROOF ENTRY      the same for a tlog-proof, and that the entry is in the log
//
// `interop log` makes the log's key on first use and prints its verifier key: `interop log DIR` alone does only that.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	tlogproof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/formats/witness"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

const origin = "tessera.example/interop"

func main() {
	args := os.Args[1:]
	var err error
	switch {
	case len(args) == 2 && args[0] == "log":
		_, err = logKey(args[1])
	case len(args) == 4 && args[0] == "log":
		err = runLog(args[1], args[2], args[3])
	case len(args) == 3 && args[0] == "checkpoint":
		_, err = verify(args[1], args[2])
	case len(args) == 4 && args[0] == "proof":
		err = verifyProof(args[1], args[2], args[3])
	default:
		err = errors.New("interop log DIR [POLICY ENTRIES] | checkpoint POLICY FILE | proof POLICY PROOF ENTRY")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// The log's key; its verifier key is printed and lies beside it.
func logKey(dir string) (note.Signer, error) {
	path := filepath.Join(dir, "log.key")
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		secret, vkey, err := note.GenerateKey(rand.Reader, origin)
		if err != nil {
			return nil, err
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, "log.vkey"), []byte(vkey), 0o600); err != nil {
			return nil, err
		}
		fmt.Println(vkey)
		text = []byte(secret)
	} else if err != nil {
		return nil, err
	}
	return note.NewSigner(string(text))
}

func runLog(dir, policyFile, count string) error {
	entries, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	signer, err := logKey(dir)
	if err != nil {
		return err
	}
	policy, err := os.ReadFile(policyFile)
	if err != nil {
		return err
	}
	group, err := tessera.NewWitnessGroupFromPolicy(policy)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	driver, err := posix.New(ctx, posix.Config{Path: filepath.Join(dir, "log")})
	if err != nil {
		return err
	}
	options := tessera.NewAppendOptions().
		WithCheckpointSigner(signer).
		WithCheckpointInterval(200*time.Millisecond).
		WithBatching(16, 50*time.Millisecond).
		WithWitnesses(group, &tessera.WitnessOptions{Timeout: 5 * time.Second})
	appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, options)
	if err != nil {
		return err
	}
	awaiter := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, 50*time.Millisecond)
	var checkpoint []byte
	for n := range entries {
		entry := fmt.Appendf(nil, "entry %d of %d", n, time.Now().UnixNano())
		added := appender.Add(ctx, tessera.NewEntry(entry))
		// Each tenth waits until it is published, so that there are several checkpoints.
		if n%10 == 9 || n == entries-1 {
			if _, checkpoint, err = awaiter.Await(ctx, added); err != nil {
				return err
			}
		}
	}
	if err := shutdown(ctx); err != nil {
		return err
	}
	path := filepath.Join(dir, "published")
	if err := os.WriteFile(path, checkpoint, 0o600); err != nil {
		return err
	}
	_, err = verify(policyFile, path)
	return err
}

// The policy's log keys, and its quorum.
func readPolicy(path string) ([]note.Verifier, witness.Group, []byte, error) {
	policy, err := os.ReadFile(path)
	if err != nil {
		return nil, witness.Group{}, nil, err
	}
	var logs []note.Verifier
	for line := range strings.Lines(string(policy)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "log" {
			continue
		}
		verifier, err := note.NewVerifier(fields[1])
		if err != nil {
			verifier, err = fnote.NewVerifierForCosignatureV1(fields[1])
		}
		if err != nil {
			return nil, witness.Group{}, nil, fmt.Errorf("%s: %w", fields[1], err)
		}
		logs = append(logs, verifier)
	}
	group, err := witness.ParsePolicy(policy)
	return logs, group, policy, err
}

func verify(policyFile, file string) (*log.Checkpoint, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return verifyText(policyFile, text)
}

// Every log key of the policy that bears the checkpoint's origin, every witness that signed it, and the quorum.
func verifyText(policyFile string, text []byte) (*log.Checkpoint, error) {
	logs, group, policy, err := readPolicy(policyFile)
	if err != nil {
		return nil, err
	}
	name, _, _ := strings.Cut(string(text), "\n")
	var checkpoint *log.Checkpoint
	for _, verifier := range logs {
		if verifier.Name() != name {
			continue
		}
		parsed, _, _, err := log.ParseCheckpoint(text, name, verifier)
		if err != nil {
			return nil, fmt.Errorf("log key %08x: %w", verifier.KeyHash(), err)
		}
		fmt.Printf("log key %08x: ok\n", verifier.KeyHash())
		checkpoint = parsed
	}
	if checkpoint == nil {
		return nil, fmt.Errorf("no log key of the policy is %s's", name)
	}
	for line := range strings.Lines(string(policy)) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[0] != "witness" {
			continue
		}
		verifier, err := fnote.NewVerifierForCosignatureV1(fields[2])
		if err != nil {
			return nil, err
		}
		opened, err := note.Open(text, note.VerifierList(verifier))
		if err != nil {
			fmt.Printf("witness %s: %v\n", fields[1], err)
			continue
		}
		at, err := fnote.CoSigV1Timestamp(opened.Sigs[0])
		if err != nil {
			return nil, err
		}
		fmt.Printf("witness %s: cosigned at %s\n", fields[1], at.UTC().Format(time.RFC3339))
	}
	if !group.Satisfied(text) {
		return nil, errors.New("the quorum is not met")
	}
	fmt.Printf("%s: size %d, quorum met\n", checkpoint.Origin, checkpoint.Size)
	return checkpoint, nil
}

func verifyProof(policyFile, proofFile, entryFile string) error {
	text, err := os.ReadFile(proofFile)
	if err != nil {
		return err
	}
	entry, err := os.ReadFile(entryFile)
	if err != nil {
		return err
	}
	var parsed tlogproof.TLogProof
	if err := parsed.Unmarshal(text); err != nil {
		return err
	}
	checkpoint, err := verifyText(policyFile, parsed.Checkpoint)
	if err != nil {
		return err
	}
	path := make([][]byte, len(parsed.Hashes))
	for i, hash := range parsed.Hashes {
		path[i] = hash[:]
	}
	leaf := rfc6962.DefaultHasher.HashLeaf(entry)
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, parsed.Index, checkpoint.Size, leaf, path, checkpoint.Hash); err != nil {
		return err
	}
	fmt.Printf("entry %d is in the log\n", parsed.Index)
	return nil
}
