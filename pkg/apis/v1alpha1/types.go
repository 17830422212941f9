package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AccessEntryType says what kind of caller an entry is for.
//
// +kubebuilder:validation:Enum=STANDARD;EC2_LINUX;EC2_WINDOWS;FARGATE_LINUX;HYBRID_LINUX;EC2
type AccessEntryType string

// The types of access entries, as on EKS.
const (
	// Standard is for people and programs; username, groups and policies are free.
	Standard AccessEntryType = "STANDARD"
	// EC2Linux and EC2Windows are for the roles of self-managed nodes.
	EC2Linux   AccessEntryType = "EC2_LINUX"
	EC2Windows AccessEntryType = "EC2_WINDOWS"
	// FargateLinux is for the pod execution roles of Fargate.
	FargateLinux AccessEntryType = "FARGATE_LINUX"
	// HybridLinux is for the roles of nodes outside AWS.
	HybridLinux AccessEntryType = "HYBRID_LINUX"
	// EC2 is for the roles of nodes that something else manages, such as Auto Mode.
	EC2 AccessEntryType = "EC2"
)

// AccessScopeType is how far an access policy reaches.
//
// +kubebuilder:validation:Enum=cluster;namespace
type AccessScopeType string

// The scopes of access policies.
const (
	ScopeCluster   AccessScopeType = "cluster"
	ScopeNamespace AccessScopeType = "namespace"
)

// AccessEntry lets one IAM principal in.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=ae,categories=iam
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Principal",type=string,JSONPath=`.spec.principalARN`
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.type`
// +kubebuilder:printcolumn:name="Username",type=string,JSONPath=`.spec.username`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Groups",type=string,priority=1,JSONPath=`.spec.kubernetesGroups`
// +kubebuilder:printcolumn:name="Policies",type=string,priority=1,JSONPath=`.spec.accessPolicies[*].policyARN`
// +kubebuilder:printcolumn:name="Principal ID",type=string,priority=1,JSONPath=`.spec.principalID`
type AccessEntry struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	Spec AccessEntrySpec `json:"spec"`
	// +optional
	Status AccessEntryStatus `json:"status,omitzero"`
}

// AccessEntryList is a list of access entries.
//
// +kubebuilder:object:root=true
type AccessEntryList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []AccessEntry `json:"items"`
}

// AccessEntrySpec says who gets in and as whom. Nothing else of an entry decides.
//
// +kubebuilder:validation:XValidation:rule=`self.type == 'STANDARD' || !self.principalARN.matches('^arn:[^:]*:iam::[0-9]*:user/')`,fieldPath=`.principalARN`,message=`The specified principalArn is invalid: invalid principal. Only an access entry with a type of "STANDARD" can be for a user.`
// +kubebuilder:validation:XValidation:rule=`self.type == 'STANDARD' || !has(self.username)`,fieldPath=`.username`,reason=FieldValueForbidden,message=`This operation can only be performed on Access Entries with a type of "STANDARD". The other types have a username of their own.`
// +kubebuilder:validation:XValidation:rule=`self.type == 'STANDARD' || !has(self.kubernetesGroups) || size(self.kubernetesGroups) == 0`,fieldPath=`.kubernetesGroups`,reason=FieldValueForbidden,message=`This operation can only be performed on Access Entries with a type of "STANDARD". The other types have groups of their own.`
// +kubebuilder:validation:XValidation:rule=`self.type in ['STANDARD', 'EC2'] || !has(self.accessPolicies) || size(self.accessPolicies) == 0`,fieldPath=`.accessPolicies`,reason=FieldValueForbidden,message=`This operation can only be performed on Access Entries with a type of "STANDARD" or "EC2".`
// +kubebuilder:validation:XValidation:rule=`!has(self.principalID) || !self.principalID.startsWith('AIDA') || !self.principalARN.matches('^arn:[^:]*:iam::[0-9]*:role/')`,fieldPath=`.principalID`,message=`The principalID is that of a user, but the principalARN is that of a role.`
// +kubebuilder:validation:XValidation:rule=`!has(self.principalID) || !self.principalID.startsWith('AROA') || !self.principalARN.matches('^arn:[^:]*:iam::[0-9]*:user/')`,fieldPath=`.principalID`,message=`The principalID is that of a role, but the principalARN is that of a user.`
type AccessEntrySpec struct {
	// principalARN is the IAM role (with its path, if it has one) or user, such as
	// arn:aws:iam::111122223333:role/team/Admins. Sessions, service-linked roles and
	// an account's root can't have an entry. It can't be changed.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule=`!self.matches('^arn:[^:]*:sts:')`,message=`The specified principalArn is invalid: invalid principal. Want the IAM role, not a session of it: arn:aws:iam::111122223333:role/PATH/NAME.`
	// +kubebuilder:validation:XValidation:rule=`self.matches('^arn:[^:]*:sts:') || self.matches('^arn:(aws|aws-cn|aws-eusc|aws-iso|aws-iso-b|aws-iso-e|aws-iso-f|aws-us-gov):iam::[0-9]{12}:(role|user)/([!-~]{0,510}/)?[A-Za-z0-9_+=,.@-]{1,64}$')`,message=`The specified principalArn is invalid: invalid principal. Want an IAM role or user, such as arn:aws:iam::111122223333:role/PATH/NAME.`
	// +kubebuilder:validation:XValidation:rule=`!self.lowerAscii().matches('^arn:[^:]*:iam::[0-9]*:role/aws-service-role/')`,message=`The specified principalArn is invalid: invalid principal. A service-linked role can't have an access entry.`
	// +kubebuilder:validation:XValidation:rule=`self == oldSelf`,message=`The principalARN of an access entry can't be changed: create an entry for the other principal and delete this one.`
	PrincipalARN string `json:"principalARN"`

	// principalID, if set, is the unique ID that the principal must have (AROA…,
	// AIDA…): one that was deleted and created again is refused.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule=`self.matches('^[A-Za-z0-9]*$')`,message=`The principalID must consist of ASCII letters and digits, such as AROAEXAMPLEID: leave out the colon and the session name if there is one.`
	PrincipalID string `json:"principalID,omitempty"`

	// type is what kind of caller the entry is for. All types but STANDARD are for
	// the roles of nodes, which get the username and the groups of their type. It
	// can't be changed.
	//
	// +optional
	// +kubebuilder:default=STANDARD
	// +kubebuilder:validation:XValidation:rule=`self == oldSelf`,message=`The type of an access entry can't be changed: delete the entry and create it again.`
	Type AccessEntryType `json:"type,omitempty"`

	// username is the name in Kubernetes, in which {{SessionName}}, {{SessionNameRaw}},
	// {{AccountID}}, {{AccessKeyID}}, {{EC2PrivateDNSName}} and {{EC2InstanceID}} stand
	// for what the caller has. If it is left out, the name is the ARN: of the user, or of the
	// session of the role. It has at most 1024 bytes, which is a limit of ours.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule=`self.trim() != ''`,message=`The username must not be blank.`
	// +kubebuilder:validation:XValidation:rule=`size(bytes(self)) <= 1024`,message=`The username must not have more than 1024 bytes.`
	// +kubebuilder:validation:XValidation:rule=`!self.matches('[\\p{C}\\p{Zl}\\p{Zp}]')`,message=`The username must not have control characters.`
	// +kubebuilder:validation:XValidation:rule=`!self.matches('^(system|eks|aws|amazon|iam):')`,messageExpression=`'The username must not begin with ' + self.substring(0, self.indexOf(':') + 1)`,message=`The username must not begin with system:, eks:, aws:, amazon: or iam:`
	// +kubebuilder:validation:XValidation:rule=`!self.lowerAscii().startsWith('iam-authenticator.dev:')`,message=`The username must not begin with iam-authenticator.dev: in any letter case.`
	// +kubebuilder:validation:XValidation:rule=`self.matches('^([^{}]|\\{\\{(AccountID|SessionName|SessionNameRaw|AccessKeyID|EC2PrivateDNSName|EC2InstanceID)\\}\\})*$')`,message=`The username must have braces only in {{AccountID}}, {{SessionName}}, {{SessionNameRaw}}, {{AccessKeyID}}, {{EC2PrivateDNSName}} or {{EC2InstanceID}}.`
	// +kubebuilder:validation:XValidation:rule=`!self.contains('{{SessionName') || self.substring(0, self.indexOf('{{SessionName')).contains(':')`,message=`The username must have a colon before the session name, as in team:{{SessionName}}: otherwise callers would choose how their name begins.`
	Username string `json:"username,omitempty"`

	// kubernetesGroups are the groups in Kubernetes. Placeholders are as in username.
	// There are at most 100 of at most 1024 bytes, which are limits of ours.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:items:XValidation:rule=`self.trim() != ''`,message=`The kubernetes group name must not be blank.`
	// +kubebuilder:validation:items:XValidation:rule=`size(bytes(self)) <= 1024`,message=`The kubernetes group name must not have more than 1024 bytes.`
	// +kubebuilder:validation:items:XValidation:rule=`!self.matches('[\\p{C}\\p{Zl}\\p{Zp}]')`,message=`The kubernetes group name must not have control characters.`
	// +kubebuilder:validation:items:XValidation:rule=`!self.startsWith('system:')`,messageExpression=`'The kubernetes group name ' + self + ' is invalid, it cannot start with system:'`,message=`The kubernetes group name is invalid, it cannot start with system:`
	// +kubebuilder:validation:items:XValidation:rule=`!self.lowerAscii().startsWith('iam-authenticator.dev:')`,message=`The kubernetes group name must not begin with iam-authenticator.dev: in any letter case.`
	// +kubebuilder:validation:items:XValidation:rule=`self.matches('^([^{}]|\\{\\{(AccountID|SessionName|SessionNameRaw|AccessKeyID|EC2PrivateDNSName|EC2InstanceID)\\}\\})*$')`,message=`The kubernetes group name must have braces only in {{AccountID}}, {{SessionName}}, {{SessionNameRaw}}, {{AccessKeyID}}, {{EC2PrivateDNSName}} or {{EC2InstanceID}}.`
	// +kubebuilder:validation:items:XValidation:rule=`!self.contains('{{SessionName') || self.substring(0, self.indexOf('{{SessionName')).contains(':')`,message=`The kubernetes group name must have a colon before the session name, as in team:{{SessionName}}: otherwise callers would choose their groups.`
	KubernetesGroups []string `json:"kubernetesGroups,omitempty"`

	// accessPolicies are rights that are managed with the entry, for the types
	// STANDARD and EC2. There are at most 20, which is a limit of ours.
	//
	// +optional
	// +listType=map
	// +listMapKey=policyARN
	// +kubebuilder:validation:MaxItems=20
	AccessPolicies []AccessPolicy `json:"accessPolicies,omitempty"`
}

// AccessPolicy gives the rights of a policy within a scope.
type AccessPolicy struct {
	// policyARN names the policy, such as
	// arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule=`self.matches('^arn:(aws|aws-cn|aws-eusc|aws-iso|aws-iso-b|aws-iso-e|aws-iso-f|aws-us-gov):eks::aws:cluster-access-policy/[A-Za-z0-9_+=,.@-]{1,128}$')`,message=`The specified policyArn is invalid. Want one such as arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy.`
	PolicyARN string `json:"policyARN"`

	// accessScope is where the rights hold.
	AccessScope AccessScope `json:"accessScope"`
}

// AccessScope is the cluster or some namespaces.
//
// +kubebuilder:validation:XValidation:rule=`self.type != 'cluster' || !has(self.namespaces) || size(self.namespaces) == 0`,fieldPath=`.namespaces`,reason=FieldValueForbidden,message=`An access scope with a type of "cluster" has no namespaces.`
// +kubebuilder:validation:XValidation:rule=`self.type != 'namespace' || has(self.namespaces) && size(self.namespaces) > 0`,fieldPath=`.namespaces`,reason=FieldValueRequired,message=`An access scope with a type of "namespace" has at least one namespace.`
type AccessScope struct {
	// type is cluster or namespace.
	Type AccessScopeType `json:"type"`

	// namespaces are names, in which * stands for any characters, as in dev-*. They
	// need not exist. There are at most 100, which is a limit of ours.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:XValidation:rule=`self.matches('^[a-z0-9*]([a-z0-9*-]*[a-z0-9*])?$')`,message=`The namespace must consist of lower-case letters, digits and -, with a letter or digit at both ends; * stands for any characters.`
	Namespaces []string `json:"namespaces,omitempty"`
}

// AccessEntryStatus tells what became of the entry. It decides nothing.
type AccessEntryStatus struct {
	// conditions has Accepted: whether the entry is in force, and if not, why; and of
	// an entry with policies PoliciesApplied: where they are bound, and if not, why.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// canonicalARN is the ARN by which callers are compared.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	CanonicalARN string `json:"canonicalARN,omitempty"`
}

// ConditionAccepted is the type of the condition that tells whether an entry is in
// force.
const ConditionAccepted = "Accepted"

// ConditionPoliciesApplied is the type of the condition that tells where the policies of
// an entry are bound.
const ConditionPoliciesApplied = "PoliciesApplied"
