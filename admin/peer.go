// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
)

// The groups that mean something to the local API.
const (
	// SocketGroup may open the socket.
	SocketGroup = "agentd"
	// OperatorGroup may decide.
	OperatorGroup = "agentd-admin"
)

// Peer is the process at the other end of a connection, as the kernel saw it
// when it connected.
type Peer struct {
	UID, GID uint32
	PID      int32
}

// String names the peer for the record: the user's name if it has one.
func (p Peer) String() string {
	uid := strconv.FormatUint(uint64(p.UID), 10)
	if u, err := user.LookupId(uid); err == nil {
		return u.Username
	}
	return "uid " + uid
}

type peerKey struct{}

// peerOrError is what is known of the peer of a connection.
type peerOrError struct {
	peer Peer
	err  error
}

var errNoPeer = errors.New("the kernel does not say who is calling")

func peerOf(ctx context.Context) (Peer, error) {
	known, ok := ctx.Value(peerKey{}).(peerOrError)
	if !ok {
		return Peer{}, errNoPeer
	}
	return known.peer, known.err
}

// mayDecide says whether the peer is root, the daemon's own user, or a member
// of the operators' group. Groups are looked up at each decision, so that a
// person who was taken out of the group cannot go on.
func mayDecide(p Peer, operators string) error {
	if p.UID == 0 || int(p.UID) == os.Geteuid() {
		return nil
	}
	group, err := user.LookupGroup(operators)
	if err != nil {
		return fmt.Errorf("there is no group %s", operators)
	}
	if strconv.FormatUint(uint64(p.GID), 10) == group.Gid {
		return nil
	}
	u, err := user.LookupId(strconv.FormatUint(uint64(p.UID), 10))
	if err != nil {
		return fmt.Errorf("uid %d has no name", p.UID)
	}
	groups, err := u.GroupIds()
	if err != nil {
		return fmt.Errorf("the groups of %s are unknown", u.Username)
	}
	if !slices.Contains(groups, group.Gid) {
		return fmt.Errorf("%s is not in the group %s", u.Username, operators)
	}
	return nil
}
