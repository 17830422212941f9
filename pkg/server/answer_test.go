package server

import (
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What the library writes of the same object is what API servers are known to read.
func libraryReview(apiVersion string, status authenticationv1.TokenReviewStatus) string {
	return string(mustJSON(authenticationv1.TokenReview{
		TypeMeta: metav1.TypeMeta{APIVersion: apiVersion, Kind: kindTokenReview},
		Status:   status,
	}))
}

func checkAnswer(t *testing.T, u userInfo, text string) {
	t.Helper()
	status := authenticationv1.TokenReviewStatus{
		Authenticated: true,
		User:          authenticationv1.UserInfo{Username: u.username, UID: u.uid, Groups: u.groups},
	}
	for _, e := range u.extra {
		if status.User.Extra == nil {
			status.User.Extra = map[string]authenticationv1.ExtraValue{}
		}
		status.User.Extra[e.key] = authenticationv1.ExtraValue{e.value}
	}
	for _, version := range []string{apiV1, apiV1beta1} {
		if got, want := string(encodeGrant(version, u)), libraryReview(version, status); got != want {
			t.Errorf("grant %s\nwant  %s", got, want)
		}
		if got, want := string(encodeRefusal(version, text)), libraryReview(version, authenticationv1.TokenReviewStatus{Error: text}); got != want {
			t.Errorf("refusal %s\nwant    %s", got, want)
		}
	}
}

func TestAnswersAreWhatTheLibraryWrites(t *testing.T) {
	h := benchWebhook(nopCore, nil)
	d := granted()
	checkAnswer(t, h.userInfo(d), "")
	d.user.Groups = nil
	checkAnswer(t, h.userInfo(d), "NotMapped: no mapping")
	h.scrubbed = []string{d.id.Account}
	checkAnswer(t, h.userInfo(d), "\x00\"\\/<>&\u2028\u2029\x7f\xff\u00e9\U0001f600\t\n")

	var all strings.Builder
	for c := range 0x110 {
		all.WriteByte(byte(c))
		all.WriteRune(rune(c))
		checkAnswer(t, userInfo{username: string(rune(c)), uid: "x"}, string([]byte{byte(c)}))
	}
	s := all.String()
	checkAnswer(t, userInfo{username: s, uid: s, groups: []string{s, "", s}, extra: []extra{{"a", s}, {"b", ""}}}, s)
}

func FuzzAnswers(f *testing.F) {
	f.Add("alice", "aws-iam-authenticator:111122223333:AIDAX", "a,b", "arn:aws:iam::111122223333:user/alice", "NotMapped: no mapping")
	f.Add("<&>", "\u2028", "\xff,\x00", "\"\\", "\U0001f600")
	f.Fuzz(func(t *testing.T, username, uid, groups, value, text string) {
		if username == "" || uid == "" { // never sent
			return
		}
		u := userInfo{username: username, uid: uid}
		if groups != "" {
			u.groups = strings.Split(groups, ",")
		}
		if value != "" {
			u.extra = []extra{{"arn", value}, {"sessionName", ""}}
		}
		checkAnswer(t, u, text)
	})
}
