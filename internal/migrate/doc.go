// Package migrate turns the mappings of aws-auth, of IAMIdentityMapping objects and of
// an EKS cluster into AccessEntry objects.
//
// A Plan says what becomes of each entry, and why some stay where they are. Prove
// compares the logins before and after; Apply and Undo do it, and take it back.
package migrate
