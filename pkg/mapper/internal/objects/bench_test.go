package objects

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	kjson "sigs.k8s.io/json"
)

// benchObjects returns objects as large as they are in life.
func benchObjects(n int) []any {
	list := make([]any, n)
	for i := range list {
		kind, path := "role", "/team/"
		if i%2 == 1 {
			kind = "user"
		}
		o := testObject(fmt.Sprintf("entry-%d", i), 1, "")
		o.UID = types.UID(fmt.Sprintf("8c5a1e0c-54b5-4b39-8d5b-%012d", i))
		o.ResourceVersion = fmt.Sprint(1_000_000 + i)
		o.Spec = testJSON(testSpec{fmt.Sprintf("arn:aws:iam::111122223333:%s%sn%d", kind, path, i), "team:{{SessionName}}"})
		list[i] = o
	}
	return list
}

func BenchmarkStoreLookup(b *testing.B) {
	for _, n := range []int{10, 1_000, 100_000} {
		s := newTestStore()
		s.Replace(benchObjects(n))
		// Many keys: that of one login is in no cache of the CPU.
		keys := map[string][]string{}
		for i := range min(n/2, 4096) {
			at := i * (n / 2 / min(n/2, 4096)) * 2
			keys["role"] = append(keys["role"], fmt.Sprintf("arn:aws:iam::111122223333:role/n%d", at))
			keys["user"] = append(keys["user"], fmt.Sprintf("arn:aws:iam::111122223333:user/team/n%d", at+1))
			keys["miss"] = append(keys["miss"], fmt.Sprintf("arn:aws:iam::111122223333:role/none%d", at))
		}
		for _, kind := range []string{"role", "user", "miss"} {
			b.Run(fmt.Sprintf("%s/%d", kind, n), func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if _, err := s.Lookup(keys[kind][i%len(keys[kind])]); (err == nil) != (kind != "miss") {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkStoreReplace(b *testing.B) {
	const n = 100_000
	list := benchObjects(n)
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			newTestStore().Replace(list)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/object")
	})
	s := newTestStore()
	before := heap()
	s.Replace(list)
	after := heap()
	b.Run("again", func(b *testing.B) {
		for b.Loop() {
			s.Replace(list)
		}
		b.ReportMetric(float64(after-before)/n, "bytes/object")
	})
}

// BenchmarkStoreReplaceOnePrincipal is the worst list somebody can make.
func BenchmarkStoreReplaceOnePrincipal(b *testing.B) {
	list := benchObjects(10_000)
	for i, o := range list {
		o.(*Object).Spec = testJSON(testSpec{arn + "one", "u"})
		list[i] = o
	}
	for b.Loop() {
		s := newTestStore()
		s.Replace(list)
		s.Replace(nil)
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkStoreUpsert(b *testing.B) {
	const n = 100_000
	list := benchObjects(n)
	s := newTestStore()
	s.Replace(list)
	b.Run("status", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			s.Upsert(list[i%n])
		}
	})
	b.Run("spec", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			o := list[i%n].(*Object)
			o.Generation++
			s.Upsert(o)
		}
	})
}

// BenchmarkDecode decodes an object as kubectl apply leaves it on the API server.
func BenchmarkDecode(b *testing.B) {
	managed := `{"apiVersion": "v1", "fieldsType": "FieldsV1", "manager": "kubectl", "operation": "Apply", "time": "2026-01-01T00:00:00Z",
		"fieldsV1": {"f:metadata": {"f:annotations": {".": {}, "f:kubectl.kubernetes.io/last-applied-configuration": {}}}, "f:spec": {".": {}, "f:arn": {}, "f:username": {}, "f:groups": {}}}}`
	data := fmt.Appendf(nil, `{"apiVersion": "a/v1", "kind": "K", "metadata": {"name": "entry-1", "uid": "8c5a1e0c-54b5-4b39-8d5b-000000000001",
		"resourceVersion": "123456", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": [%s, %s],
		"annotations": {"kubectl.kubernetes.io/last-applied-configuration": %q}}, "spec": %s, "status": {"conditions": [{"type": "Accepted", "status": "True"}]}}`,
		managed, managed, strings.Repeat("x", 400), testJSON(testSpec{arn + "r", "u"}))
	if !json.Valid(data) {
		b.Fatal("not JSON")
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		var o Object
		if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &o); err != nil {
			b.Fatal(err)
		}
	}
}
