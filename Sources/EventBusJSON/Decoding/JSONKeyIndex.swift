/// The names of an object's members as strings, with a table of their values.
///
/// Small objects with ASCII names are searched without it. It compares names the way `String` does, so different
/// spellings of one character are equal. If names are equal, the first member counts.
final class JSONKeyIndex {
    /// The first member of each name in the order of the text, as its name and the token of its value.
    private(set) var members: [(name: String, value: Int)] = []
    private var positions: [String: Int] = [:]
    /// The member to compare first: the one after the member that was found last.
    private var expected = 0

    init(of object: Int, in document: JSONDocument, convertingKeys: Bool) throws(JSONSyntaxError) {
        let count = Int(document.tokens[object].length)
        members.reserveCapacity(count)
        positions.reserveCapacity(count)
        var token = object + 1
        let end = Int(document.tokens[object].link)
        while token < end {
            var name = try document.string(of: document.tokens[token])
            if convertingKeys { name = document.convertedKey(name, at: document.codingPath(to: object)) }
            let next = document.after(token + 1)
            if positions[name] == nil {
                positions[name] = members.count
                members.append((name, token + 1))
            }
            token = next
        }
    }

    /// Returns the token of the value of the member `name`, or `nil`.
    func value(of name: String) -> Int? {
        if expected < members.count, members[expected].name == name {
            expected += 1
            return members[expected - 1].value
        }
        guard let position = positions[name] else { return nil }
        expected = position + 1
        return members[position].value
    }
}
