"""The pod network of one host: CNI configuration, fences, masquerading. Service proxy, DNS and policies come here too."""
