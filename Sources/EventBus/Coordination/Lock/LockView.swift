/// A lock that gives out grants of another object, which several such locks may have in common.
package protocol LockView: DistributedLock {
    /// The object whose grants these are.
    var base: AnyObject { get }
}

extension DistributedLock {
    /// The object that a task must not ask twice for one resource.
    package var identity: AnyObject { (self as? any LockView)?.base ?? self as AnyObject }
}
