// Command facts prints what the embedded API server must know of the built-in types beyond their
// plain schemas: presence of fields in JSON, list and map types, patch strategies. Its output is
// hub/kubeapi/src/schema/facts.txt; the layout is described at the top of schema/builtin.rs.
//
//	cd e2e/kubernetes && go run ./facts > ../../hub/kubeapi/src/schema/facts.txt
package main

import (
	"fmt"
	"reflect"
	"sort"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	crdopenapi "k8s.io/apiextensions-apiserver/pkg/generated/openapi"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kubernetes/pkg/generated/openapi"
)

var prefixes = strings.NewReplacer(
	"k8s.io/api/", "", "k8s.io/apimachinery/pkg/apis/", "", "k8s.io/apimachinery/pkg/", "",
	"k8s.io/apiextensions-apiserver/pkg/apis/", "", "/", ".")

type printer struct {
	seen map[reflect.Type]bool
	defs map[string]common.OpenAPIDefinition
	out  []string
}

func main() {
	ref := func(path string) spec.Ref { return spec.MustCreateRef(path) }
	p := printer{seen: map[reflect.Type]bool{}, defs: openapi.GetOpenAPIDefinitions(ref)}
	for name, def := range crdopenapi.GetOpenAPIDefinitions(ref) {
		p.defs[name] = def
	}
	for gvk, t := range scheme.Scheme.AllKnownTypes() {
		if !strings.Contains(gvk.Version, "alpha") && !strings.Contains(gvk.Version, "beta") && gvk.Version != "__internal" {
			p.walk(t)
		}
	}
	p.walk(reflect.TypeOf(v1.CustomResourceDefinition{}))
	p.walk(reflect.TypeOf(metav1.DeleteOptions{}))
	sort.Strings(p.out)
	fmt.Println(strings.Join(p.out, "\n"))
}

func (p *printer) walk(t reflect.Type) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || p.seen[t] || !strings.Contains(t.PkgPath(), "k8s.io") {
		return
	}
	p.seen[t] = true
	def := p.defs[t.PkgPath()+"."+t.Name()].Schema
	var words []string
	if text(def.Extensions, "x-kubernetes-map-type") == "atomic" {
		words = append(words, "@atomic")
	}
	words = p.fields(t, def, words)
	if len(words) > 0 {
		p.out = append(p.out, prefixes.Replace(t.PkgPath())+"."+t.Name()+" "+strings.Join(words, " "))
	}
}

func (p *printer) fields(t reflect.Type, def spec.Schema, words []string) []string {
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		tag := strings.Split(f.Tag.Get("json"), ",")
		p.walk(f.Type)
		if f.Anonymous && tag[0] == "" {
			if !strings.HasSuffix(f.Type.Name(), "TypeMeta") && f.Type.Kind() == reflect.Struct {
				words = p.fields(f.Type, def, words)
			}
			continue
		}
		if tag[0] == "" || tag[0] == "-" {
			continue
		}
		facts := presence(f, tag[1:]) + merging(f, def.Properties[tag[0]])
		if facts != "" {
			words = append(words, tag[0]+facts)
		}
	}
	return words
}

// presence says "*" for a pointer to something other than a struct, "!" for a field that is always there, and "~" for a
// pointer that is always there.
func presence(f reflect.StructField, options []string) string {
	omit, zero := false, false
	for _, option := range options {
		omit = omit || option == "omitempty"
		zero = zero || option == "omitzero"
	}
	pointer := f.Type.Kind() == reflect.Pointer
	switch {
	case zero:
		return ""
	case pointer && !omit:
		return "~"
	case pointer && f.Type.Elem().Kind() != reflect.Struct:
		return "*"
	case pointer:
		return ""
	case f.Type.Kind() == reflect.Struct || !omit:
		return "!"
	}
	return ""
}

// merging says ":" and the list or map type, keys in parentheses, then "+" and the patch strategy.
func merging(f reflect.StructField, schema spec.Schema) string {
	out := ""
	keys := list(schema.Extensions, "x-kubernetes-list-map-keys")
	switch text(schema.Extensions, "x-kubernetes-list-type") {
	case "set":
		out = ":set"
	case "map":
		out = ":map(" + strings.Join(keys, ",") + ")"
	}
	if kind := text(schema.Extensions, "x-kubernetes-map-type"); kind != "" {
		out = ":" + kind
	}
	strategy, key := f.Tag.Get("patchStrategy"), f.Tag.Get("patchMergeKey")
	for _, word := range strings.Split(strategy, ",") {
		if word == "merge" {
			out += "+merge(" + key + ")"
		} else if word == "retainKeys" {
			out += "+retain"
		} else if word == "replace" {
			out += "+replace"
		}
	}
	return out
}

func text(extensions spec.Extensions, key string) string {
	found, _ := extensions[key].(string)
	return found
}

func list(extensions spec.Extensions, key string) (found []string) {
	words, _ := extensions[key].([]interface{})
	for _, word := range words {
		found = append(found, word.(string))
	}
	return found
}
