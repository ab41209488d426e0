import Glibc

/// A valve that holds threads back while it is closed.
// Safe because the state behind the pointers is touched under the mutex only, and freed when nobody refers to it.
final class Valve: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var isOpen: Bool

    init(isOpen: Bool = true) {
        self.isOpen = isOpen
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    func open() { set(true) }
    func close() { set(false) }

    private func set(_ isOpen: Bool) {
        pthread_mutex_lock(mutex)
        self.isOpen = isOpen
        pthread_cond_broadcast(condition)
        pthread_mutex_unlock(mutex)
    }

    /// Returns as soon as it is open.
    func pass() {
        pthread_mutex_lock(mutex)
        while !isOpen { pthread_cond_wait(condition, mutex) }
        pthread_mutex_unlock(mutex)
    }
}
