extension JSONEncodingState {
    /// Returns the child for the value of a member of frame `frame` and the number for its container, which is zero
    /// after a failure.
    ///
    /// A nested container that is requested again under the same name is the same container. A container for a member
    /// that was encoded as a value continues that value.
    func child(
        of frame: UInt32,
        _ name: String,
        _ key: any CodingKey,
        kind: JSONEncodingFrame.Kind
    ) -> (child: JSONEncodingState, frame: UInt32) {
        let before = core.pointee.count
        guard let start = try? beginMember(name, in: frame) else { return (self, refuse(closed())) }
        let nameLength = core.pointee.count - start - 3
        let hash = jsonKeyHash(core.pointee.bytes + (start + 1), nameLength)
        let written = UnsafeBufferPointer(start: core.pointee.bytes + (start + 1), count: nameLength)
        let earlier = kind == .empty ? nil : findMember(written, hash: hash)
        if let earlier, core.pointee.members[earlier].child >= 0 {
            core.pointee.count = before
            let child = core.pointee.children[Int(core.pointee.members[earlier].child)]
            return (child, child.open(kind, in: 1))
        }
        let child = addChild(key, kind: earlier == nil ? kind : .empty)
        if let earlier {
            // The value ends before the comma of the next member, or of the member that was just begun.
            let end = earlier + 1 < core.pointee.memberCount ? core.pointee.members[earlier + 1].start : start
            let valueStart = core.pointee.members[earlier].start + Int(core.pointee.members[earlier].nameLength) + 3
            child.core.pointee.write(
                UnsafeBufferPointer(start: core.pointee.bytes + valueStart, count: end - 1 - valueStart)
            )
            child.core.pointee.frame.kind = .single
        }
        endMember(start, valueStart: core.pointee.count, child: core.pointee.children.count - 1)
        return (child, kind == .empty ? 1 : child.open(kind, in: 1))
    }

    /// Returns the child for the next element of frame `frame` and the number for its container, zero after a failure.
    func child(
        of frame: UInt32,
        _ key: any CodingKey,
        kind: JSONEncodingFrame.Kind
    ) -> (child: JSONEncodingState, frame: UInt32) {
        guard let start = try? beginElement(in: frame) else { return (self, refuse(closed())) }
        let child = addChild(key, kind: kind)
        endElement(start)
        return (child, kind == .empty ? 1 : child.open(kind, in: 1))
    }

    private func refuse(_ error: any Error) -> UInt32 {
        if core.pointee.failure == nil { core.pointee.failure = error }
        return 0
    }
}
