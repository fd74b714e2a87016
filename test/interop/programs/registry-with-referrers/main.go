// A registry that serves the referrers API, which Debian's docker-registry has not. In memory; says where it listens,
// and prints a line for each request.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

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
	log.Fatal(http.Serve(listener, withArtifactTypes(handler)))
}

// The library says the config's type for each referrer, where the specification wants the manifest's artifactType
// first (distribution spec, "Listing Referrers").
func withArtifactTypes(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		repository, _, isReferrers := strings.Cut(request.URL.Path, "/referrers/")
		if !isReferrers {
			handler.ServeHTTP(response, request)
			return
		}
		listed := httptest.NewRecorder()
		handler.ServeHTTP(listed, request)
		var index map[string]any
		if listed.Code != http.StatusOK || json.Unmarshal(listed.Body.Bytes(), &index) != nil {
			response.WriteHeader(listed.Code)
			return
		}
		for _, entry := range index["manifests"].([]any) {
			descriptor := entry.(map[string]any)
			found := httptest.NewRecorder()
			target := fmt.Sprint(repository, "/manifests/", descriptor["digest"])
			handler.ServeHTTP(found, httptest.NewRequest(http.MethodGet, target, nil))
			var manifest struct{ ArtifactType string }
			if json.Unmarshal(found.Body.Bytes(), &manifest) == nil && manifest.ArtifactType != "" {
				descriptor["artifactType"] = manifest.ArtifactType
			}
		}
		response.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
		_ = json.NewEncoder(response).Encode(index)
	})
}
