/// An array of decodable elements, which the document decodes without a container.
protocol JSONArray {
    /// Returns the elements of the array at `array`.
    static func elements(of array: Int, in document: JSONDocument) throws -> Self
}

extension Array: JSONArray where Element: Decodable {
    static func elements(of array: Int, in document: JSONDocument) throws -> [Element] {
        var result: [Element] = []
        // No more in advance, because the text may contain data that is shorter than elements.
        result.reserveCapacity(Swift.min(Int(document.tokens[array].length), 256))
        let end = Int(document.tokens[array].link)
        var token = array &+ 1
        var index = 0
        while token < end {
            let link = JSONPathLink(index: index, token: token, container: array, outer: document.path)
            let element = try document.withPath(link) {
                try document.decode(Element.self, at: token) {
                    document.codingPath(to: array) + [JSONPathKey(index: index)]
                }
            }
            result.append(element)
            token = document.after(token)
            index &+= 1
        }
        return result
    }
}
