/// The memory of an encoding: the text so far, the members of the objects being written, and the current frame.
///
/// It is stored behind a pointer, so that its fields are accessed without dynamic exclusivity checks.
struct JSONEncodingCore {
    /// The text, initialized up to `count`.
    private(set) var bytes: UnsafeMutablePointer<UInt8>
    var count = 0
    private var capacity: Int
    private var ownsBytes: Bool
    /// The members of the current frame and of the frames around it, initialized up to `memberCount`.
    private(set) var members: UnsafeMutablePointer<JSONEncodedMember>
    var memberCount = 0
    private var memberCapacity: Int
    var frame = JSONEncodingFrame(id: JSONEncodingFrame.closed, depth: 0, start: 0, firstMember: 0, firstChild: 0)
    var lastFrame: UInt32 = 0
    /// The innermost value that is being encoded.
    var path: UnsafePointer<JSONPathLink>?
    var children: [JSONEncodingState] = []
    /// The members of large objects by name, for each frame that has many.
    var tables: [UInt32: JSONMemberTable] = [:]
    /// The first misuse of a method that cannot throw.
    var failure: (any Error)?

    /// Creates a core that writes to `buffer` until it is full, and to its own memory afterwards.
    init(buffer: UnsafeMutableBufferPointer<UInt8>?) {
        if let buffer, let start = buffer.baseAddress {
            bytes = start
            capacity = buffer.count
            ownsBytes = false
            memberCapacity = 32
        } else {
            // Nested containers are small, and there may be many.
            capacity = 64
            bytes = .allocate(capacity: capacity)
            ownsBytes = true
            memberCapacity = 4
        }
        members = .allocate(capacity: memberCapacity)
    }

    func deallocate() {
        if ownsBytes { bytes.deallocate() }
        members.deallocate()
    }

    /// Reserves room for `additional` bytes after the text.
    @inline(__always)
    mutating func reserve(_ additional: Int) {
        if capacity &- count < additional { grow(additional) }
    }

    @inline(never)
    private mutating func grow(_ additional: Int) {
        capacity = max(capacity * 2, count + additional)
        let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
        larger.update(from: bytes, count: count)
        if ownsBytes { bytes.deallocate() }
        bytes = larger
        ownsBytes = true
    }

    /// Appends `byte`. Room for it must have been reserved.
    @inline(__always)
    mutating func put(_ byte: UInt8) {
        bytes[count] = byte
        count &+= 1
    }

    mutating func write(_ literal: StaticString) {
        write(UnsafeBufferPointer(start: literal.utf8Start, count: literal.utf8CodeUnitCount))
    }

    mutating func write(_ source: UnsafeBufferPointer<UInt8>) {
        reserve(source.count)
        guard let start = source.baseAddress else { return }
        (bytes + count).update(from: start, count: source.count)
        count &+= source.count
    }

    @inline(__always)
    mutating func append(_ member: JSONEncodedMember) {
        if memberCount == memberCapacity { growMembers() }
        (members + memberCount).initialize(to: member)
        memberCount &+= 1
    }

    @inline(never)
    private mutating func growMembers() {
        memberCapacity *= 2
        let larger = UnsafeMutablePointer<JSONEncodedMember>.allocate(capacity: memberCapacity)
        larger.moveInitialize(from: members, count: memberCount)
        members.deallocate()
        members = larger
    }

    /// Returns the name of a member as it was written, without the quotation marks.
    func name(of member: JSONEncodedMember) -> UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(start: bytes + (member.start + 1), count: Int(member.nameLength))
    }
}
