/// A filter that removes the frames of some methods from the output of a broker.
struct FrameFilter {
    /// A method, identified by the numbers of the protocol.
    struct Method: Hashable, Sendable {
        var classID: UInt16
        var methodID: UInt16

        /// The broker cancels a consumer.
        static let basicCancel = Method(classID: 60, methodID: 30)
    }

    /// The numbers of frames of some kinds.
    struct Counts {
        /// The removed methods.
        var taken = 0
        var heartbeats = 0
    }

    /// The beginning of an incomplete frame.
    private var pending: [UInt8] = []

    /// Returns the remaining bytes and the numbers of their frames. An incomplete frame waits for its rest.
    mutating func pass(_ bytes: [UInt8], without methods: Set<Method>) -> (bytes: [UInt8], counts: Counts) {
        var output: [UInt8] = []
        var counts = Counts()
        var rest = (pending + bytes)[...]
        while rest.count >= 7 {
            let header = Array(rest.prefix(11))
            let length = header[3..<7].reduce(0) { $0 << 8 | Int($1) } + 8
            guard rest.count >= length else { break }
            if header[0] == 1, header.count == 11,
                methods.contains(
                    Method(
                        classID: UInt16(header[7]) << 8 | UInt16(header[8]),
                        methodID: UInt16(header[9]) << 8 | UInt16(header[10])
                    )
                )
            {
                counts.taken += 1
            } else {
                if header[0] == 8 { counts.heartbeats += 1 }
                output += rest.prefix(length)
            }
            rest = rest.dropFirst(length)
        }
        pending = Array(rest)
        return (output, counts)
    }
}
