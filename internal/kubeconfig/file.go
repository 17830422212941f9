package kubeconfig

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/iam-authenticator/authenticator/internal/owner"
)

// Files returns the files of the kubeconfig in the order of precedence: the explicit one,
// else those in $KUBECONFIG, else ~/.kube/config.
func Files(explicit string) []string {
	if explicit != "" {
		return []string{explicit}
	}
	var files []string
	for _, file := range filepath.SplitList(os.Getenv(clientcmd.RecommendedConfigPathEnvVar)) {
		if file != "" && !slices.Contains(files, file) {
			files = append(files, file)
		}
	}
	if len(files) == 0 {
		files = []string{clientcmd.RecommendedHomeFile}
	}
	return files
}

const (
	// lockTimeout is how long another program may hold a lock. kubectl does so for
	// milliseconds.
	lockTimeout = 5 * time.Second
	lockPause   = 20 * time.Millisecond
)

// lockAll takes the locks of all files, in the order in which kubectl does. Of files that
// aren't targets, it does without the lock if their directory can't be written to.
func lockAll(ctx context.Context, files, targets []string) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	var locks []string
	unlock = func() {
		for _, lock := range locks {
			os.Remove(lock)
		}
	}
	for _, file := range slices.Sorted(slices.Values(files)) {
		needed := slices.Contains(targets, file)
		if needed {
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				unlock()
				return nil, fmt.Errorf("kubeconfig: %w", err)
			}
		}
		lock := file + ".lock"
		err := takeLock(ctx, lock)
		switch {
		case err == nil:
			locks = append(locks, lock)
		case errors.Is(err, fs.ErrExist):
			unlock()
			return nil, fmt.Errorf("%s is being changed by another program: if there is none, remove %s", file, lock)
		case needed || ctx.Err() != nil:
			unlock()
			return nil, fmt.Errorf("lock kubeconfig: %w", err)
		}
	}
	return unlock, nil
}

// takeLock creates the file that is a lock, in the way of k8s.io/client-go/tools/clientcmd.
func takeLock(ctx context.Context, lock string) error {
	for {
		f, err := os.OpenFile(lock, os.O_CREATE|os.O_EXCL, 0)
		if err == nil {
			return f.Close()
		}
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		select {
		case <-time.After(lockPause):
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return err
			}
			return ctx.Err()
		}
	}
}

// replaceFile replaces a file so that at any time, also after a crash, there is the whole
// old one or the whole new one. What a symbolic link points to is replaced. Owner and mode
// stay; a new file is for its owner alone.
func replaceFile(path string, data []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("kubeconfig %s is not changed: %w", path, err)
		}
	}()
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return errors.New("it is no regular file")
	case err == nil:
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	default:
		if _, err := os.Lstat(path); err == nil {
			return errors.New("it is a symbolic link to nothing: create what it points to, or remove it")
		}
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // no longer there if all went well
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if info != nil {
		if err := owner.Copy(f, info); err != nil {
			return fmt.Errorf("keep its owner: %w", err)
		}
		if err := f.Chmod(info.Mode().Perm()); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	err = os.Rename(f.Name(), path)
	if errors.Is(err, syscall.EBUSY) {
		return fmt.Errorf("%w (a file that is mounted by itself can't be replaced: mount its directory)", err)
	}
	return err
}
