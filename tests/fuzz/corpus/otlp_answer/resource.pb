

n1
	host.name
ùÿÿÿÿÿÿÿÿ
a

cart
service.name