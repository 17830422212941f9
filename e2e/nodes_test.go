package e2e

import (
	"fmt"
	"os"

	"github.com/iam-authenticator/authenticator/internal/awstest"
	"github.com/rogpeppe/go-internal/testscript"
)

// ec2Command launches and ends instances, and makes trouble with EC2:
//
//	ec2 launch ID PRIVATE-DNS-NAME ROLE
//	ec2 terminate|forget ID
//	ec2 throttle|deny|hang|up
//
// What an instance finds in its metadata is the profile ID in $AWS_SHARED_CREDENTIALS_FILE: credentials of
// its role, for a session that is named after it.
func ec2Command(ts *testscript.TestScript, neg bool, args []string) {
	aws := ts.Value(awsKey{}).(*awsRef)
	instance := awstest.Instance{Account: "111122223333", Region: ts.Getenv("AWS_REGION")}
	switch {
	case !neg && len(args) == 4 && args[0] == "launch":
		instance.ID, instance.PrivateDNSName = args[1], args[2]
		instance.ProfileARN = "arn:aws:iam::111122223333:instance-profile/" + args[3]
		aws.ec2.SetInstance(instance)
		ts.Check(aws.addProfile(args[1], "arn:aws:iam::111122223333:role/"+args[3]))
	case !neg && len(args) == 2 && args[0] == "terminate":
		instance.ID, instance.State = args[1], "terminated"
		aws.ec2.SetInstance(instance)
	case !neg && len(args) == 2 && args[0] == "forget":
		aws.ec2.RemoveInstance(args[1])
	case neg || len(args) != 1 || !trouble(aws.ec2, args[0]):
		ts.Fatalf("usage: ec2 launch ID PRIVATE-DNS-NAME ROLE, ec2 terminate|forget ID, or ec2 throttle|deny|hang|up")
	}
}

// iamCommand makes trouble with IAM:
//
//	iam throttle|deny|hang|up
func iamCommand(ts *testscript.TestScript, neg bool, args []string) {
	aws := ts.Value(awsKey{}).(*awsRef)
	if neg || len(args) != 1 || !trouble(aws.iam, args[0]) {
		ts.Fatalf("usage: iam throttle|deny|hang|up")
	}
}

// trouble makes or ends trouble with a service, and reports whether it knows that kind of it.
func trouble(service interface {
	SetFault(awstest.Fault)
	ClearFaults()
}, kind string) bool {
	fault, ok := map[string]awstest.FaultKind{
		"throttle": awstest.FaultThrottle, "deny": awstest.FaultDenied, "hang": awstest.FaultHang, "up": awstest.FaultNone,
	}[kind]
	service.ClearFaults()
	if fault != awstest.FaultNone {
		service.SetFault(awstest.Fault{Kind: fault})
	}
	return ok
}

// addProfile appends a session of a role, with the profile's name, to the shared credentials file.
func (a *awsRef) addProfile(name, roleARN string) error {
	session, err := a.sts.Session(roleARN, name)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(a.credentials, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = fmt.Fprintf(file, "[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\naws_session_token = %s\n",
		name, session.AccessKeyID, session.SecretAccessKey, session.SessionToken)
	return err
}
