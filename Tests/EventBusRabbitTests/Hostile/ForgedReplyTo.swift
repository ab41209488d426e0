import Foundation

/// Forged addresses of direct reply-to, which end the broker's channel, or with it the connection.
enum ForgedReplyTo {
    private static let prefix = "amq.rabbitmq.reply-to."

    /// An address as the broker creates it, for a node that does not exist.
    static let wrongHash = address(node: "generated@1")

    /// Returns an address of the form of RabbitMQ 3.10 and later for a process on a node.
    static func address(node: String, tag: UInt8 = 118, process: UInt8 = 88, tail: Int = 12) -> String {
        let name = Array(node.utf8)
        let length = tag == 118 ? [UInt8(name.count >> 8), UInt8(name.count & 255)] : [UInt8(name.count)]
        let bytes = [131, process, tag] + length + name + [UInt8](repeating: 0, count: tail)
        return "\(prefix)\(base64(bytes)).\(base64([UInt8](repeating: 7, count: 16)))"
    }

    private static func base64(_ bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }

    /// Addresses that no broker creates.
    static let malformed: [String] =
        [
            "", ".", "..", "x", "x.y", "g1hkABBy", "g1hkABBy.k", "g1hkABBy.a2V5", "a.", ".a", ".a.", ".a.b.", "a..b",
            "a.b.c", "\u{0}.\u{9B}",
            // An atom, as term_to_binary(foo) writes it.
            base64([131, 119, 3] + Array("foo".utf8)) + ".k",
            base64([131, 119, 3] + Array("foo".utf8)) + ".a2V5",
            // A deep list, and a compressed term that is large.
            base64([131] + [UInt8](repeating: 108, count: 60)) + ".a2V5",
            base64([131, 80, 255, 255, 255, 255]) + ".a2V5",
            // More padding than there may be, and a line break, which Erlang's decoder skips.
            "g1g=====.a2V5", "g1gA\n.a2V5",
        ].map { prefix + $0 }
        + [
            address(node: "rabbit@host"), address(node: "generated"), address(node: "generated@-1"),
            address(node: "generated@"), address(node: "@1"), address(node: "a@1@2"), address(node: "generated@1x"),
            address(node: "generated@1234567890"), address(node: "generated@1", tail: 11),
            address(node: "generated@1", tail: 13), address(node: "generated@1", tag: 100),
            address(node: "generated@1", process: 97), String(wrongHash.dropLast()), wrongHash + ".k",
            address(node: String(repeating: "a", count: 130) + "@1"),
        ]

    /// Well-formed addresses of processes that do not exist.
    static let wellFormed = [
        wrongHash, address(node: "reply@134217727"), address(node: "generated@2", tag: 119, process: 103, tail: 9),
    ]
}
