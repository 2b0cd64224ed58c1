// Command fields prints how the stable built-in kinds lie in protobuf: the table
// that the embedded API engine decodes protobuf bodies with.
//
//	cd e2e/kubernetes && go run ./fields > ../../hub/kubeapi/src/codec/fields.txt
//
// It reads nothing but the tags of the published Go types, by reflection: field
// number, JSON name, whether a field is a pointer, inlined, or dropped when
// empty. The head of hub/kubeapi/src/codec/protobuf/table.rs says what each
// letter means.
package main

import (
	"bufio"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"sort"
	"strings"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/scheme"
)

// Types whose JSON is not that of their fields.
var special = map[reflect.Type]string{
	reflect.TypeOf(meta.Time{}):                                  "T",
	reflect.TypeOf(meta.MicroTime{}):                             "U",
	reflect.TypeOf(meta.Duration{}):                              "D",
	reflect.TypeOf(resource.Quantity{}):                          "Q",
	reflect.TypeOf(intstr.IntOrString{}):                         "I",
	reflect.TypeOf(runtime.RawExtension{}):                       "R",
	reflect.TypeOf(meta.FieldsV1{}):                              "R",
	reflect.TypeOf(apiextensions.JSON{}):                         "R",
	reflect.TypeOf(apiextensions.JSONSchemaPropsOrBool{}):        "B",
	reflect.TypeOf(apiextensions.JSONSchemaPropsOrArray{}):       "A",
	reflect.TypeOf(apiextensions.JSONSchemaPropsOrStringArray{}): "S",
}

var stable = regexp.MustCompile(`^v[0-9]+$`)

type table struct {
	numbers map[reflect.Type]int
	order   []reflect.Type
	lines   []string
}

func main() {
	if err := apiextensions.AddToScheme(scheme.Scheme); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	out := &table{numbers: map[reflect.Type]int{}}
	known := scheme.Scheme.AllKnownTypes()
	kinds := make([]schema.GroupVersionKind, 0, len(known))
	for kind := range known {
		if wanted(kind, known[kind]) {
			kinds = append(kinds, kind)
		}
	}
	sort.Slice(kinds, func(i, j int) bool { return kinds[i].String() < kinds[j].String() })
	w := bufio.NewWriter(os.Stdout)
	defer w.Flush()
	for _, kind := range kinds {
		fmt.Fprintf(w, "k %s %s %d\n", kind.GroupVersion(), kind.Kind, out.number(known[kind]))
	}
	for next := 0; next < len(out.order); next++ {
		fmt.Fprintf(w, "m%s\n", out.fields(out.order[next]))
	}
}

// wanted leaves out lists and what every group repeats from the meta group.
func wanted(kind schema.GroupVersionKind, t reflect.Type) bool {
	if !stable.MatchString(kind.Version) || kind.Group == "internal.apiserver.k8s.io" {
		return false
	}
	if strings.HasSuffix(t.PkgPath(), "/meta/v1") {
		return kind.Group == "" && strings.HasSuffix(kind.Kind, "Options")
	}
	_, list := t.FieldByName("ListMeta")
	return !list && strings.Contains(t.PkgPath(), "/apis/") || !list && strings.HasPrefix(t.PkgPath(), "k8s.io/api/")
}

func (t *table) number(of reflect.Type) int {
	if n, ok := t.numbers[of]; ok {
		return n
	}
	n := len(t.order)
	t.numbers[of] = n
	t.order = append(t.order, of)
	return n
}

func (t *table) fields(of reflect.Type) string {
	type row struct {
		number int
		text   string
	}
	var rows []row
	for i := 0; i < of.NumField(); i++ {
		field := of.Field(i)
		tag, ok := field.Tag.Lookup("protobuf")
		if !ok || tag == "-" {
			continue
		}
		parts := strings.Split(tag, ",")
		json := strings.Split(field.Tag.Get("json"), ",")
		flags, kind := t.kind(field.Type, parts[0])
		keep := true
		for _, option := range json[1:] {
			switch option {
			case "inline":
				flags += ">"
			case "omitempty":
				keep = false
			}
		}
		if keep && !strings.Contains(flags, ">") {
			flags += "="
		}
		var number int
		fmt.Sscan(parts[1], &number)
		rows = append(rows, row{number, fmt.Sprintf(" %d:%s%s:%s", number, flags, kind, json[0])})
	}
	sort.Slice(rows, func(i, j int) bool { return rows[i].number < rows[j].number })
	text := ""
	for _, r := range rows {
		text += r.text
	}
	return text
}

// kind gives the flags and the letter of a field's type.
func (t *table) kind(of reflect.Type, wire string) (string, string) {
	if letter, ok := special[of]; ok {
		return "", letter + t.extra(letter)
	}
	switch of.Kind() {
	case reflect.Pointer:
		flags, kind := t.kind(of.Elem(), wire)
		return "*" + flags, kind
	case reflect.Map:
		_, kind := t.kind(of.Elem(), "")
		return "%", kind
	case reflect.Slice:
		switch {
		case of.Elem().Kind() == reflect.Uint8:
			return "", "y"
		case of.Name() == "ExtraValue" || of.Name() == "Verbs":
			return "", "X"
		}
		_, kind := t.kind(of.Elem(), wire)
		return "+", kind
	case reflect.Struct:
		return "", fmt.Sprintf("m%d", t.number(of))
	case reflect.String:
		return "", "s"
	case reflect.Bool:
		return "", "b"
	case reflect.Float64:
		return "", "d"
	case reflect.Int32, reflect.Int64, reflect.Uint8:
		return "", "i"
	}
	fmt.Fprintf(os.Stderr, "fields: no letter for %s\n", of)
	os.Exit(1)
	return "", ""
}

// extra is the number of the schema message that the three unions of CRDs refer to.
func (t *table) extra(letter string) string {
	if strings.Contains("BAS", letter) {
		return fmt.Sprint(t.number(reflect.TypeOf(apiextensions.JSONSchemaProps{})))
	}
	return ""
}
