/// The server-side steps of one kind of lock.
struct LockRules: Sendable {
    let acquire: RedisScript
    let release: RedisScript
    let leave: RedisScript
    let decline: RedisScript
    let renew: RedisScript

    /// The rules of a lock with one holder for each resource.
    static let exclusive = LockRules(
        acquire: LockScripts.acquire,
        release: LockScripts.release,
        leave: LockScripts.leave,
        decline: LockScripts.decline,
        renew: LockScripts.renew
    )

    /// The rules of a lock whose resources are shared.
    static let shared = LockRules(
        acquire: SharedLockScripts.acquire,
        release: SharedLockScripts.release,
        leave: SharedLockScripts.leave,
        decline: SharedLockScripts.decline,
        renew: SharedLockScripts.renew
    )
}
