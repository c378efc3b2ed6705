// Reads objects as JSON, one a line, and prints for each what Flux's kstatus makes of it: [status, message].
package main

import (
	"bufio"
	"encoding/json"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	told := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(lines.Bytes()); err != nil {
			panic(err)
		}
		found, err := status.Compute(object)
		if err != nil {
			panic(err)
		}
		if err := told.Encode([]string{found.Status.String(), found.Message}); err != nil {
			panic(err)
		}
	}
}
