#if TSAN
import Glibc

/// A lock-protected state, using a lock that the thread sanitizer understands.
///
/// `Synchronization.Mutex` is a bare futex on Linux, which the sanitizer does not see, so it reports correct code.
/// Sanitizer builds (`-Xswiftc -DTSAN`) therefore use a pthread mutex with the same interface.
@usableFromInline
package struct Locked<State>: ~Copyable, Sendable {
    @usableFromInline
    let storage: Storage

    package init(_ state: consuming sending State) {
        self.storage = Storage(state)
    }

    @discardableResult
    package borrowing func withLock<Result: ~Copyable, Failure: Error>(
        _ body: (inout sending State) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        unsafe pthread_mutex_lock(storage.mutex)
        defer { unsafe pthread_mutex_unlock(storage.mutex) }
        return try unsafe body(&storage.state)
    }

    @usableFromInline
    // Safe because `state` is touched only between lock and unlock of `mutex`, which lives as long as this object.
    @safe final class Storage: @unchecked Sendable {
        let mutex: UnsafeMutablePointer<pthread_mutex_t>
        // Safe because it is touched only while `mutex` is held.
        nonisolated(unsafe) var state: State

        init(_ state: consuming sending State) {
            unsafe self.mutex = .allocate(capacity: 1)
            unsafe pthread_mutex_init(mutex, nil)
            unsafe self.state = state
        }

        deinit {
            unsafe pthread_mutex_destroy(mutex)
            unsafe mutex.deallocate()
        }
    }
}
#else
public import Synchronization

/// A lock-protected state. It is the only way in which this package guards mutable state outside actors.
///
/// Never suspend, call user code or resume a continuation inside `withLock`. Decide inside the lock, and act after it.
@usableFromInline
package struct Locked<State>: ~Copyable, Sendable {
    @usableFromInline
    let mutex: Mutex<State>

    @inlinable
    package init(_ state: consuming sending State) {
        self.mutex = Mutex(state)
    }

    @inlinable
    @discardableResult
    package borrowing func withLock<Result: ~Copyable, Failure: Error>(
        _ body: (inout sending State) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        try mutex.withLock(body)
    }
}
#endif
