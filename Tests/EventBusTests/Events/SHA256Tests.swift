import Testing

@testable import EventBus

@Suite("SHA-256", .timeLimit(.minutes(1)))
struct SHA256Tests {
    /// The examples of FIPS 180-4, and the lengths around a block, computed by coreutils' `sha256sum`.
    @Test(
        "The hash agrees with published values",
        arguments: [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
            ),
            ("a × 55", "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"),
            ("a × 56", "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a"),
            ("a × 64", "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"),
            ("a × 1000000", "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
        ]
    )
    func vectors(_ text: String, _ expected: String) {
        let parts = text.split(separator: " × ")
        let repeated = parts.count == 2 ? String(repeating: String(parts[0]), count: Int(parts[1]) ?? 0) : text
        var hash = SHA256()
        hash.append(repeated.utf8.span)
        let words = hash.finish()
        let digits = words.indices.map { index in
            let digits = String(words[index], radix: 16)
            return String(repeating: "0", count: 8 - digits.count) + digits
        }
        #expect(digits.joined() == expected)
    }
}
